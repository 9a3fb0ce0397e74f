"""What a source of pictures is. Knows no file format."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

from ..frames import VideoFrame
from ..geometry import Intrinsics


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source once it is open."""

    name: str
    """Short name for outputs and messages: the file's stem, the camera's name."""
    location: str
    """What the user gave: a path, pattern, URL or device. Never holds a password."""
    width: int
    """Width of the upright picture, pixels."""
    height: int
    """Height of the upright picture, pixels."""
    time_base: Fraction
    """Seconds per tick of the frames' ``pts``."""
    average_rate: Fraction | None = None
    """Frames per second on average as the container states it; None where unknown."""
    frame_count: int | None = None
    """How many frames will come after start, end and thinning are applied; an estimate; None where unknown."""
    live: bool = False
    """Whether frames come at their own pace and cannot be read again."""
    has_audio: bool = False
    """Whether ``location`` holds sound that a preview can carry on."""
    intrinsics: Intrinsics | None = None
    """The camera, where the file's tags tell it (origin ``file``)."""
    codec: str | None = None
    """Name of the video codec, e.g. ``h264``."""


@dataclass(slots=True)
class SourceStats:
    """Counts that a source keeps while it is read; read them at any time."""

    decoded: int = 0
    """Frames decoded, skipped ones included."""
    decoded_on_card: int = 0
    """How many of these a graphics card decoded."""
    corrupt: int = 0
    """Packets or pictures that could not be decoded and were passed over."""
    damaged: bool = False
    """Whether anything was missing: passed over, mended by the decoder, or cut off before the announced end."""
    warnings: list[str] = field(default_factory=list)
    """One line for each kind of trouble met on the way, in order, without repeats."""

    def warn(self, line: str) -> None:
        """Keep ``line`` unless it is there already."""
        if line not in self.warnings:
            self.warnings.append(line)


class Source(Protocol):
    """Gives frames in presentation order. Iterate once; whoever opens it closes it."""

    @property
    def info(self) -> SourceInfo:
        """What is known about the source."""

    @property
    def stats(self) -> SourceStats:
        """Counts so far."""

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield frames until the end; raises SourceError when it cannot go on."""

    def close(self) -> None:
        """Release the file or device; may be called twice and from another thread than the reader's."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""
