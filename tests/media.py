"""Makes small clips and pictures for tests. Each frame's grey level tells its number."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

GREY_STEP = 8
"""Grey levels between one frame of ``numbered_pictures`` and the next."""


def numbered_pictures(count: int, width: int = 64, height: int = 48) -> list[Picture]:
    """Make even pictures whose grey level is 16 + 8 * number."""
    return [np.full((height, width, 3), 16 + GREY_STEP * number, np.uint8) for number in range(count)]


def number_of(picture: Picture) -> int:
    """Read a frame's number back from its grey level, however coarsely it was coded."""
    return round((float(picture.mean()) - 16) / GREY_STEP)


def corner_picture(width: int = 64, height: int = 48) -> Picture:
    """Make a picture whose corners differ: red top left, green top right, blue bottom left, white bottom right."""
    picture = np.zeros((height, width, 3), np.uint8)
    half_y, half_x = height // 2, width // 2
    picture[:half_y, :half_x] = (220, 30, 30)
    picture[:half_y, half_x:] = (30, 200, 30)
    picture[half_y:, :half_x] = (30, 30, 220)
    picture[half_y:, half_x:] = (230, 230, 230)
    return picture


@dataclass(frozen=True)
class Coding:
    """How a test clip is coded."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    rate: int = 25
    options: dict[str, str] = field(default_factory=lambda: {"crf": "12", "preset": "ultrafast"})
    container: str | None = None
    """FFmpeg's muxer; None decides by the file's ending."""
    container_options: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    rotation_deg: int | None = None
    """Counterclockwise, as PyAV counts."""
    mirrored: bool = False
    pixel_aspect: Fraction | None = None
    audio: bool = False


LOSSLESS = Coding(codec="ffv1", pixel_format="bgr0", options={})


def write_video(
    path: Path, pictures: Sequence[Picture], coding: Coding | None = None, *, pts_ms: Sequence[int] | None = None
) -> Path:
    """Code pictures (of one size) as a clip; frame n comes at n / rate, or at the milliseconds given."""
    frames = [av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24") for picture in pictures]
    return write_frames(path, frames, coding or Coding(), pts_ms=pts_ms)


def write_frames(
    path: Path, frames: Sequence[av.VideoFrame], coding: Coding, *, pts_ms: Sequence[int] | None = None
) -> Path:
    """Code frames as they are, tags included."""
    with av.open(str(path), "w", format=coding.container, options=coding.container_options) as container:
        container.metadata.update(coding.metadata)
        stream = container.add_stream(coding.codec, rate=coding.rate, options=coding.options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, coding.pixel_format
        stream.codec_context.color_range = frames[0].color_range
        stream.codec_context.colorspace = frames[0].colorspace
        stream.codec_context.color_trc = frames[0].color_trc
        stream.codec_context.color_primaries = frames[0].color_primaries
        if coding.rotation_deg is not None:
            stream.set_display_rotation(coding.rotation_deg, hflip=coding.mirrored)
        if coding.pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = coding.pixel_aspect
        time_base = Fraction(1, 1000) if pts_ms is not None else Fraction(1, coding.rate)
        stream.codec_context.time_base = time_base
        sound = _add_silence(container) if coding.audio else None
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = (pts_ms[number] if pts_ms is not None else number), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _write_silence(container, sound, len(frames) / coding.rate)
    return path


def write_sound(path: Path, seconds: float = 0.5) -> Path:
    """Write a file that holds silence and no video."""
    with av.open(str(path), "w") as container:
        _write_silence(container, _add_silence(container), seconds)
    return path


def write_picture(path: Path, picture: Picture, *, pixel_format: str | None = None) -> Path:
    """Save one picture by its file's ending, through OpenCV, or through FFmpeg where a pixel format is named."""
    import cv2

    if pixel_format is None:
        assert cv2.imwrite(str(path), picture[..., ::-1])
        return path
    codec = {".png": "png", ".tiff": "tiff", ".tif": "tiff"}[path.suffix]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = picture.shape[1], picture.shape[0], pixel_format
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path


def _add_silence(container: av.container.OutputContainer) -> av.AudioStream:
    stream = container.add_stream("aac", rate=44100)
    stream.layout = "mono"
    return stream


def _write_silence(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    for start in range(0, int(seconds * 44100), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
