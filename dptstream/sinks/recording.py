"""A recording: one Matroska file with picture, 16-bit depth, camera, and every frame's description and true time.

Tracks: picture (FFV1, or the JPEGs as they came), depth codes (FFV1 gray16le; half floats as their bits), and a text
track that holds each frame's header as the wire defines it. Times in the container are milliseconds since the first
frame; the exact ones are in the headers. Files attached: ``calibration.json`` and ``description.json``. Clusters are
short, so that what was written before a power cut can be read. ``sources/recording.py`` reads it.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from ..errors import SinkError, describe
from ..wire import FrameMessage, JpegColor, RawColor
from ..wire.packing import WIRE_VERSION, frame_header

RECORDING_VERSION = 1
"""Version of the layout."""
VERSION_TAG = "DPTSTREAM_RECORDING"
"""Tag by which a recording is known."""

_TICK = Fraction(1, 1000)
"""Matroska as FFmpeg writes it counts milliseconds."""
_CLUSTER_MS = 500
"""What is lost at most when the writer is killed."""
_FFV1 = {"level": "3", "slices": "4", "slicecrc": "1"}
_ENCODER_THREADS = 2
_USUAL_STEP_MS = 33


class Recorder:
    """Writes the frames of one feed into one file.

    Args:
        path: The file; made when the first frame comes.
        overwrite: Replace a file that is there.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self.frames = 0
        self._overwrite = overwrite
        self._layout: str | None = None
        self._container: OutputContainer | None = None
        self._color: Stream | None = None
        self._depth: VideoStream | None = None
        self._headers: Stream | None = None
        self._time = _Time()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Return the recorder."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""
        self.close()

    def fits(self, message: FrameMessage) -> bool:
        """Return whether ``message`` can go into this file: same feed, sizes and encodings as the first."""
        return self._layout is None or self._layout == _layout_of(message)

    def write(self, message: FrameMessage) -> None:
        """Add one frame; raises SinkError where that is not possible."""
        if message.depth.codes.dtype == np.float32:
            raise SinkError("a recording holds 16 bits of depth; let the sender send float16 or uint16")
        if not self.fits(message):
            raise SinkError(f"{self.path} holds {self._layout}; a file of its own is needed for {_layout_of(message)}")
        with self._lock, _errors_of(self.path):
            if self._container is None:
                self._open(message)
            self._write(message, self._time.of(message))
            self.frames += 1

    def close(self) -> None:
        """Finish the file; may be called twice. Raises SinkError."""
        with self._lock, _errors_of(self.path):
            container, self._container = self._container, None
            if container is None:
                return
            try:
                for stream in (self._color, self._depth):
                    if isinstance(stream, VideoStream) and stream.codec_context is not None:
                        container.mux(stream.encode(None))
            finally:
                container.close()

    def _open(self, message: FrameMessage) -> None:
        if self.path.exists() and not self._overwrite:
            raise SinkError(f"{self.path} exists already; choose another name, or overwrite it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        options = {"cluster_time_limit": str(_CLUSTER_MS), "flush_packets": "1"}
        container = self._container = av.open(str(self.path), "w", format="matroska", options=options)
        self._layout = _layout_of(message)
        container.metadata.update(_tags(message))
        if isinstance(message.color, RawColor):
            self._color = _ffv1(container, "bgr0", message.color.width, message.color.height)
        elif message.color is not None:
            self._color = container.add_mux_stream(
                "mjpeg", width=message.color.width, height=message.color.height, time_base=_TICK
            )
        self._depth = _ffv1(container, "gray16le", message.depth.width, message.depth.height)
        self._headers = container.add_mux_stream("subrip", time_base=_TICK)
        names = {self._color: "colour", self._depth: "depth", self._headers: "description of each frame"}
        for stream, name in names.items():
            if stream is not None:
                stream.metadata["title"] = name
        for name, content in attachments(message).items():
            container.add_attachment(name, "application/json", json.dumps(content, indent=2).encode())

    def _write(self, message: FrameMessage, time_ms: int) -> None:
        container, depth = self._container, self._depth
        assert container is not None
        assert depth is not None
        if isinstance(message.color, JpegColor):
            container.mux(_packet(bytes(message.color.data), self._color, time_ms))
        elif message.color is not None:
            assert isinstance(self._color, VideoStream)
            container.mux(self._color.encode(_picture(message.color.pixels, "rgb24", "bgr0", time_ms)))
        container.mux(depth.encode(_picture(message.depth.codes.view(np.uint16), "gray16le", "gray16le", time_ms)))
        container.mux(_packet(frame_header(message), self._headers, time_ms))


class _Time:
    """Gives each frame its millisecond in the file: from 0, always growing, whatever sessions and loops do."""

    def __init__(self) -> None:
        self._session = ""
        self._shift = Fraction(0)
        self._last = -1
        self._step = _USUAL_STEP_MS

    def of(self, message: FrameMessage) -> int:
        time = message.pts * message.time_base * 1000
        at = round(time + self._shift)
        # A new session, a loop or a jump back: go on where the last frame left off.
        if message.session != self._session or message.discontinuity or at <= self._last - self._step:
            self._session = message.session
            at = 0 if self._last < 0 else self._last + self._step
            self._shift = at - time
        at = max(at, self._last + 1)
        if self._last >= 0:
            self._step = min(at - self._last, 1000)
        self._last = at
        return at


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        raise SinkError(f"cannot write {path}: {error.strerror or describe(error)}") from error


def attachments(message: FrameMessage) -> dict[str, dict[str, object]]:
    """Return the files attached to a recording that begins with ``message``, by name."""
    header: dict[str, Any] = json.loads(frame_header(message))
    description = {
        "what": "a recording by dptstream: picture and depth of the same moments",
        "version": RECORDING_VERSION,
        "wire_version": WIRE_VERSION,
        "tracks": {
            "colour": "the picture, sRGB" if message.color is not None else None,
            "depth": "16-bit codes; 16FC1: the bits of half floats; 16UC1: integers; value = code * scale + offset",
            "description of each frame": "JSON, the header of the wire: exact times, scale, offset, range, camera",
        },
        "first_frame": header,
    }
    return {"calibration.json": header["camera"], "description.json": description}


def _layout_of(message: FrameMessage) -> str:
    """Say what must stay the same within a file."""
    depth, color = message.depth, message.color
    picture = "no picture"
    if color is not None:
        picture = f"{'raw' if isinstance(color, RawColor) else 'JPEG'} pictures of {color.width}x{color.height}"
    return f"{message.feed}: {depth.kind.value} depth of {depth.width}x{depth.height}, {depth.codes.dtype}, {picture}"


def _tags(message: FrameMessage) -> dict[str, str]:
    depth = message.depth
    return {
        VERSION_TAG: str(RECORDING_VERSION),
        "DPTSTREAM_FEED": message.feed,
        "DPTSTREAM_DEPTH_KIND": depth.kind.value,
        "DPTSTREAM_DEPTH_UNIT": depth.kind.unit or "",
        "DPTSTREAM_DEPTH_CODES": depth.codes.dtype.name,
        "DPTSTREAM_DEPTH_SCALE": repr(depth.scale),
        "DPTSTREAM_DEPTH_OFFSET": repr(depth.offset),
        "DPTSTREAM_MODEL": message.model,
        "DPTSTREAM_MODEL_LICENSE": message.model_license,
    }


def _ffv1(container: OutputContainer, pixel_format: str, width: int, height: int) -> VideoStream:
    stream = container.add_stream("ffv1", options=dict(_FFV1), time_base=_TICK)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
    context = stream.codec_context
    context.time_base = _TICK
    context.gop_size = 1  # every frame stands alone: any can be sought, and one that is damaged harms no other
    context.thread_type, context.thread_count = "SLICE", _ENCODER_THREADS
    return stream


def _picture(array: Any, source_format: str, pixel_format: str, time_ms: int) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source_format)
    if pixel_format != source_format:
        picture = picture.reformat(format=pixel_format)
    picture.pts, picture.time_base = time_ms, _TICK
    return picture


def _packet(data: bytes, stream: Stream | None, time_ms: int) -> "av.Packet[Any]":
    assert stream is not None
    packet: av.Packet[Any] = av.Packet(data)
    packet.stream = stream
    packet.pts = packet.dts = time_ms
    packet.time_base, packet.duration, packet.is_keyframe = _TICK, _USUAL_STEP_MS, True
    return packet
