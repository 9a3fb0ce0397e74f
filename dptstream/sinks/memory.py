"""Keep frames in memory: for tests, notebooks and short clips."""

from ..frames import DepthFrame
from .base import FeedInfo


class MemorySink:
    """A sink that keeps everything it is given.

    Attributes:
        feed: What ``open`` was given, or None before.
        frames: Every frame so far, in order.
        notes: What ``note`` was given, by name.
        warnings: What ``warn`` was given.
        complete: What ``close`` was told, or None before.
    """

    def __init__(self) -> None:
        self.feed: FeedInfo | None = None
        self.frames: list[DepthFrame] = []
        self.complete: bool | None = None
        self.notes: dict[str, object] = {}
        self.warnings: list[str] = []

    @property
    def next_sequence(self) -> int:
        """Always 0: nothing is left over from an earlier run."""
        return 0

    def open(self, feed: FeedInfo) -> None:
        """Keep ``feed``."""
        self.feed = feed

    def write(self, frame: DepthFrame) -> None:
        """Keep ``frame``."""
        self.frames.append(frame)

    def note(self, name: str, value: object) -> None:
        """Keep the fact."""
        self.notes[name] = value

    def warn(self, line: str) -> None:
        """Keep ``line``."""
        self.warnings.append(line)

    def close(self, *, complete: bool) -> None:
        """Keep how the run ended."""
        if self.complete is None:
            self.complete = complete
