"""Videos made in parts: segments encoded shot by shot, joined without encoding again.

Segments count frames; the true times are put in when they are joined. No B-frames, so that each
packet is one frame and segments join at any place.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from .audio import Sound
from .files import discard, sink_error
from .options import Format

_ENCODER_THREADS = 4
"""Fixed, for x264's bytes depend on it."""
_ONE_TICK = Fraction(1, 25)
_BIT_EXACT = {"fflags": "bitexact"}
"""Leaves out versions, dates and random identifiers, so that equal frames give equal files."""


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """How one of the video formats is encoded and kept."""

    codec: str
    """FFmpeg's name of the encoder."""
    source_format: str
    """Pixel format of the arrays that are given."""
    pixel_format: str
    """Pixel format in the file."""
    codec_options: dict[str, str]
    """Settings of the encoder."""
    container: str
    """FFmpeg's name of the container."""
    container_options: dict[str, str]
    """Settings of the container."""
    keeps_start: bool
    """Whether the first frame keeps its own time; else the file begins at 0."""


VIDEO_FORMATS: dict[Format, VideoFormat] = {
    "ffv1": VideoFormat(
        "ffv1",
        "gray16le",
        "gray16le",
        {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"},
        "matroska",
        {},
        keeps_start=True,
    ),
    "preview": VideoFormat(
        "libx264",
        "rgb24",
        "yuv420p",
        {"preset": "veryfast", "crf": "18", "bf": "0"},
        "mp4",
        {"movflags": "+faststart"},
        keeps_start=False,
    ),
}


class SegmentEncoder:
    """Encodes frames of one size into a file that ``join_segments`` reads; the file appears when complete."""

    def __init__(self, path: Path, video: VideoFormat, size_wh: tuple[int, int]) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._video = video
        self._count = 0
        with _one_line(path):
            self._container = av.open(str(self._part), "w", format="nut", options=_BIT_EXACT)
            self._av_stream = cast(
                "VideoStream", self._container.add_stream(video.codec, rate=25, options=video.codec_options)
            )
        self._av_stream.width, self._av_stream.height = size_wh
        self._av_stream.pix_fmt = video.pixel_format
        context = self._av_stream.codec_context
        context.time_base = _ONE_TICK
        context.thread_count = _ENCODER_THREADS
        if video.pixel_format == "yuv420p":
            context.color_range = ColorRange.MPEG
            context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709

    def add(self, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Encode one frame."""
        frame = av.VideoFrame.from_ndarray(image, format=self._video.source_format)
        if self._video.pixel_format != self._video.source_format:
            frame = frame.reformat(
                format=self._video.pixel_format, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
        frame.pts, frame.time_base = self._count, _ONE_TICK
        self._count += 1
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        with _one_line(self._path):
            self._container.mux(self._av_stream.encode(frame))

    def __enter__(self) -> Self:
        """Return the encoder."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or remove what there is of it when a frame failed."""
        try:
            if kind is None:
                self._mux(None)
                with _one_line(self._path):
                    self._container.close()
                    self._part.replace(self._path)
            else:
                with suppress(OSError, av.FFmpegError):  # the frame's failure is the one to tell
                    self._container.close()
        finally:
            discard(self._part)


@dataclass(frozen=True, slots=True)
class Clock:
    """The true times of a video's frames."""

    pts: Iterable[int]
    """One for each frame, in order."""
    time_base: Fraction
    """Seconds per tick of ``pts``."""
    start: Fraction
    """Seconds at which the file's time 0 lies."""


def join_segments(
    path: Path,
    part: Path,
    video: VideoFormat,
    segments: list[Path],
    clock: Clock,
    sound: Sound | None = None,
    comment: str = "",
) -> None:
    """Join ``segments``, at least one, into the file ``path`` without encoding again; ``comment`` is kept as its tag.

    ``part`` is a temporary name on the same file system. Matroska counts milliseconds, MP4 at least
    microseconds; times that fall together there are set one tick apart. Raises SinkError.
    """
    with _one_line(path):
        try:
            with av.open(
                str(part), "w", format=video.container, options={**_BIT_EXACT, **video.container_options}
            ) as out:
                out.metadata["comment"] = comment
                _remux(out, video, segments, clock, sound)
            part.replace(path)
        finally:
            discard(part)


def _remux(out: OutputContainer, video: VideoFormat, segments: list[Path], clock: Clock, sound: Sound | None) -> None:
    with av.open(str(segments[0])) as head:
        target = out.add_stream_from_template(head.streams.video[0])
    tick = _tick(video, clock.time_base)
    target.time_base = tick
    tracks: list[Iterator[Any]] = [_timed(_packets(segments, target), clock, tick)]
    if sound is not None:
        sound.add_to(out)
        tracks.append(sound.packets())
    for packet in heapq.merge(*tracks, key=_seconds):
        out.mux(packet)


def _tick(video: VideoFormat, time_base: Fraction) -> Fraction:
    return Fraction(1, 1000) if video.container == "matroska" else Fraction(1, min(time_base.denominator, 1_000_000))


def _seconds(packet: "av.Packet[Any]") -> Fraction:
    assert packet.dts is not None
    assert packet.time_base is not None
    return packet.dts * packet.time_base


def _packets(segments: list[Path], target: VideoStream) -> "Iterator[av.Packet[VideoStream]]":
    for segment in segments:
        with av.open(str(segment)) as container:
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue  # stands for the end
                packet.stream = target
                yield packet


def _timed(
    packets: "Iterator[av.Packet[VideoStream]]", clock: Clock, tick: Fraction
) -> "Iterator[av.Packet[VideoStream]]":
    """Give each packet its frame's time, and as duration the distance to the next."""
    held: av.Packet[VideoStream] | None = None
    duration = max(1, round(_ONE_TICK / tick))
    for packet, pts in zip(packets, clock.pts, strict=True):
        at = round((pts * clock.time_base - clock.start) / tick)
        if held is not None and held.pts is not None:
            at = max(at, held.pts + 1)
            held.duration = duration = at - held.pts
            yield held
        packet.pts = packet.dts = at
        packet.time_base = tick
        held = packet
    if held is not None:
        held.duration = duration
        yield held


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise sink_error(path, OSError(error.errno, error.strerror)) from error
