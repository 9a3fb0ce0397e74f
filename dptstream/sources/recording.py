"""Reads recordings: the frames as they were received, values and times identical. Written by ``sinks/recording.py``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from ..errors import SourceError, WireError
from ..frames import DepthFrame, VideoFrame
from ..wire import FrameMessage, JpegColor, unpack
from ..wire.packing import Part
from .options import SourceOptions
from .selection import FrameSelector, Verdict

VERSION_TAG = "DPTSTREAM_RECORDING"
"""Tag by which a recording is known."""
_KNOWN_VERSIONS = ("1",)
_MAX_PENDING = 64
"""Frames whose parts may be outstanding; in a sound file it is one or two."""


def is_recording(path: Path) -> bool:
    """Return whether ``path`` is a recording of a depth feed; False for what cannot be opened."""
    try:
        with av.open(str(path)) as container:
            return VERSION_TAG in container.metadata
    except (OSError, av.FFmpegError):
        return False


@dataclass(slots=True)
class _Pending:
    """The parts of one moment that were read so far."""

    header: bytes | None = None
    depth: Part | None = None
    color: Part | None = None


@dataclass(slots=True)
class _Tracks:
    """Which track is which."""

    color: int | None
    depth: int
    headers: int
    pending: dict[int, _Pending] = field(default_factory=dict)


class Recording:
    """An open recording; iterate once. A file that was cut off gives the frames it holds.

    Attributes:
        path: The file.
        description: What ``description.json`` says.
        calibration: What ``calibration.json`` says: the camera of the first frame.

    Raises:
        SourceError: The file cannot be read or is no recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._container: InputContainer = av.open(str(path))
        except (OSError, av.FFmpegError) as error:
            raise SourceError(f"cannot open {path}: {error.strerror or error}") from None
        try:
            self._tracks = self._find_tracks()
            self.description = self._attached("description.json")
            self.calibration = self._attached("calibration.json")
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        """Return the recording."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    @property
    def seconds(self) -> float | None:
        """How long it is, by the file's own times; None where the file was cut off."""
        duration = self._container.duration
        return None if duration is None else duration / av.time_base

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._container.close()

    def __iter__(self) -> Iterator[FrameMessage]:
        """Yield the frames in order; raises SourceError where one is damaged."""
        streams = [stream for stream in self._container.streams if stream.type in ("video", "subtitle")]
        try:
            for packet in self._container.demux(streams):
                if packet.pts is not None:
                    yield from self._take(packet)
        except av.InvalidDataError:
            return  # the file was cut off within a frame

    def _take(self, packet: "av.Packet[Any]") -> Iterator[FrameMessage]:
        tracks, index = self._tracks, packet.stream.index
        assert packet.pts is not None
        moment = tracks.pending.setdefault(packet.pts, _Pending())
        if index == tracks.headers:
            moment.header = bytes(packet)
        elif index == tracks.color and packet.stream.codec_context.name == "mjpeg":
            moment.color = bytes(packet)
        else:
            pixel_format = "rgb24" if index == tracks.color else "gray16le"
            for picture in packet.decode():
                assert isinstance(picture, av.VideoFrame)
                plane = np.ascontiguousarray(picture.to_ndarray(format=pixel_format)).reshape(-1).view(np.uint8).data
                if index == tracks.color:
                    moment.color = plane
                else:
                    moment.depth = plane
        if moment.header and moment.depth is not None and (moment.color is not None or tracks.color is None):
            del tracks.pending[packet.pts]
            yield self._message(moment)
        elif len(tracks.pending) > _MAX_PENDING:
            raise SourceError(f"{self.path} is damaged: picture, depth and description do not belong together")

    def _message(self, moment: _Pending) -> FrameMessage:
        assert moment.header is not None
        assert moment.depth is not None
        planes = [moment.depth] if moment.color is None else [moment.depth, moment.color]
        try:
            feed = json.loads(moment.header)["feed"]
            message = unpack([f"dpt/{feed}/frame".encode(), moment.header, *planes])
        except (WireError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{self.path} is damaged: {error}") from None
        if not isinstance(message, FrameMessage):
            raise SourceError(f"{self.path} is damaged: a description is not that of a frame")
        return message

    def _find_tracks(self) -> _Tracks:
        version = self._container.metadata.get(VERSION_TAG)
        if version not in _KNOWN_VERSIONS:
            found = "it lacks the tag" if version is None else f"its layout is version {version}, unknown here"
            raise SourceError(f"{self.path} is not a recording that can be read: {found}")
        titles = {stream.metadata.get("title"): stream.index for stream in self._container.streams}
        if not {"depth", "description of each frame"} <= set(titles):
            raise SourceError(f"{self.path} is damaged: it lacks the depth or its description")
        for stream in self._container.streams.video:
            stream.thread_type = "SLICE"  # frame by frame: nothing is held back
        return _Tracks(titles.get("colour"), titles["depth"], titles["description of each frame"])

    def _attached(self, name: str) -> dict[str, Any]:
        for stream in self._container.streams.attachments:
            if stream.name == name or stream.metadata.get("filename") == name:
                try:
                    content = json.loads(stream.data)
                except ValueError:
                    break
                if isinstance(content, dict):
                    return content
        raise SourceError(f"{self.path} is damaged: {name} is missing or cannot be read")


def read_depth_frames(path: Path, options: SourceOptions | None = None) -> Iterator[DepthFrame]:
    """Yield a recording as the engine would have given it: depth values, pictures and times as recorded.

    Pictures have the recorded size, which is the depth's; where none was recorded they are black. Frames are counted
    anew from 0; a new session or a jump is a discontinuity.

    Args:
        path: The recording.
        options: Which part is wanted: ``start``, ``end``, ``every`` and ``fps``. Time goes on through loops and
            sessions, as when the file is played.

    Raises:
        SourceError: It cannot be read, holds nothing of the part wanted, or is to be cropped.
    """
    options = options or SourceOptions()
    if options.crop is not None:
        raise SourceError(f"{path} is a recording: its depth was made of whole pictures and is not cropped")
    return _wanted_frames(path, options)


def _wanted_frames(path: Path, options: SourceOptions) -> Iterator[DepthFrame]:
    selector, clock = FrameSelector(options), TakeClock()
    sequence, jumped, cut, session = 0, False, False, ""
    number = -1
    for number, message in enumerate(read_recording(path)):
        jumps = message.discontinuity or (message.session != session and number > 0)
        # What frames that are left out said holds for the next one that is not.
        jumped, cut, session = jumped or jumps, cut or message.scene_cut, message.session
        verdict = selector.judge(number, clock.tick(message.pts * message.time_base, jumps=jumps))
        if verdict is Verdict.STOP:
            break
        if verdict is Verdict.KEEP:
            video = VideoFrame(_pixels(message, path), sequence, message.pts, message.time_base, discontinuity=jumped)
            yield DepthFrame(message.depth.values(), message.depth.kind, video, scene_cut=cut)
            sequence, jumped, cut = sequence + 1, False, False
    if sequence == 0 and number >= 0:
        raise SourceError(f"{path}: no frame lies within start and end; the recording has {float(clock.seconds):.2f} s")


class TakeClock:
    """The time since a recording's first frame; it always grows, whatever sessions and loops do."""

    def __init__(self) -> None:
        self.seconds = Fraction(0)
        self._step = Fraction(1, 25)
        self._before: Fraction | None = None

    def tick(self, pts_seconds: Fraction, *, jumps: bool) -> Fraction:
        """Return the time of the next frame."""
        if self._before is not None:
            step = pts_seconds - self._before
            # Across a jump the times say nothing: it goes on by the last step.
            self._step = step if step > 0 and not jumps else self._step
            self.seconds += self._step
        self._before = pts_seconds
        return self.seconds


def _pixels(message: FrameMessage, path: Path) -> NDArray[np.uint8]:
    color = message.color
    if color is None:
        return np.zeros((message.depth.height, message.depth.width, 3), np.uint8)
    if not isinstance(color, JpegColor):
        return color.pixels
    try:
        return color.decoded(_decode_jpeg).pixels
    except (ValueError, cv2.error) as error:
        raise SourceError(f"{path} is damaged: the picture of frame {message.sequence}: {error}") from None


def _decode_jpeg(data: bytes | memoryview) -> NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("not a JPEG")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def read_recording(path: Path) -> Iterator[FrameMessage]:
    """Yield the frames of a recording; raises SourceError."""
    with Recording(path) as recording:
        yield from recording
