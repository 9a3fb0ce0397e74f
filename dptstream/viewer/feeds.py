"""Where a viewer's frames come from, whatever it is: a feed on the wire, a folder, a file. Opens nothing itself."""

from dataclasses import dataclass
from typing import Literal, Protocol

from ..wire import FrameMessage

State = Literal["connecting", "playing", "paused", "waiting", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed goes; a snapshot."""

    state: State
    """``connecting``: no sign of life yet, or none any more; ``waiting``: the sender has lost its source."""
    note: str = ""
    """One line for people: what is wrong, or what they should know; empty where there is nothing to say."""
    frames_per_second: float | None = None
    """Rate of the sender; None where unknown."""


@dataclass(frozen=True, slots=True)
class TransportStatus:
    """Where playback stands; a snapshot."""

    position: float
    """Seconds from the first frame to the one given last."""
    length: float | None
    """Seconds from the first frame to the end; None where unknown."""
    paused: bool
    """Whether somebody paused it."""
    loop: bool
    """Whether it begins again at its end."""
    speed: float
    """1 is the source's own."""


class Transport(Protocol):
    """What can be done to a feed that has a beginning. Returns at once; may be called from any thread."""

    @property
    def can_change_speed(self) -> bool:
        """Whether ``set_speed`` works: a running engine gives its own pace."""

    def status(self) -> TransportStatus:
        """Return where playback stands."""

    def pause(self, *, paused: bool) -> None:
        """Pause or go on."""

    def seek(self, seconds: float) -> None:
        """Go to the frame at so many seconds after the first; shows it even while paused."""

    def step(self, frames: int) -> None:
        """Go so many frames ahead, or back, and pause."""

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not."""

    def set_speed(self, factor: float) -> None:
        """Play so many times as fast; raises ValueError where that cannot be."""


class Feed(Protocol):
    """Frames to be shown, the newest first. ``newest`` is for one thread, everything else for any."""

    @property
    def title(self) -> str:
        """Short name for people."""

    @property
    def transport(self) -> Transport | None:
        """Playback controls; None where it comes live and nobody can steer it."""

    def newest(self, timeout: float) -> FrameMessage | None:
        """Return the newest frame that was not returned yet, waiting up to ``timeout`` seconds; else None."""

    def status(self) -> FeedStatus:
        """Return how it goes."""

    def close(self) -> None:
        """Let go of everything; may be called twice."""
