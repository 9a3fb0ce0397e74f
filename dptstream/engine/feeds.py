"""What can be said of, and done to, a feed while it plays, wherever its depth comes from."""

from dataclasses import dataclass
from typing import Protocol

from ..models.base import DepthModel
from ..wire.messages import FeedState


@dataclass(frozen=True, slots=True)
class FeedReport:
    """How a feed goes, in plain values."""

    feed: str
    """Its name."""
    location: str
    """What it plays."""
    state: FeedState
    """As subscribers are told."""
    width: int
    """Width of its pictures, pixels; 0 where none came yet."""
    height: int
    """Height of its pictures, pixels; 0 where none came yet."""
    live: bool
    """Whether it cannot be sought in."""
    paused: bool
    """Whether somebody paused it."""
    loop: bool
    """Whether it begins again at its end."""
    model: str
    """Name of the network; of a recording, the one that made its depth."""
    size: int | None
    """The size asked for; None is the family's own."""
    temporal: str
    """Preset by which depth is steadied over time."""
    frames: int
    """Frames published, over all sessions."""
    dropped: int
    """Frames that came but were not inferred, because a newer one came or they were too old."""
    late: int
    """Those of them that were too old."""
    fps_in: float
    """Frames a second from the source, lately."""
    fps_out: float
    """Frames a second published, lately."""
    latency_ms_p50: float | None
    """Median of milliseconds from a frame's capture, or of a file its decoding, to its publication; None before any."""
    latency_ms_p95: float | None
    """95th percentile of the same."""
    sessions: int
    """How many sessions there were, the present one included."""
    note: str = ""
    """What is wrong at present; empty if nothing is."""
    retry_seconds: float | None = None
    """Seconds until a source that is away is tried again, 0 while it is tried; None for one that is there."""
    dropped_pts: tuple[int, ...] = ()
    """Presentation times of the frames dropped last, in ticks of the source's time base, oldest first."""


class Player(Protocol):
    """What can be done to a feed while it plays. All of it from any thread.

    Attributes:
        name: The feed's name.
        failure: Why it ended, where that was a failure.
    """

    name: str
    failure: Exception | None

    def start(self) -> None:
        """Begin to play, in a thread of its own."""

    def stop(self) -> None:
        """End after the frames in flight; returns at once."""

    def join(self, timeout: float) -> bool:
        """Wait for the end; return whether it came."""

    def pause(self, *, paused: bool) -> None:
        """Pause or go on."""

    def seek(self, seconds: float) -> None:
        """Jump; raises ValueError where that cannot be."""

    def set_loop(self, *, enabled: bool) -> None:
        """Begin again at the end, or do not; raises ValueError where that cannot be."""

    def change(self, *, model: DepthModel | None = None, **settings: object) -> None:
        """Go on with another network, ``size`` or ``temporal`` preset, as a new session; raises ValueError."""

    def report(self) -> FeedReport:
        """Return how it goes."""
