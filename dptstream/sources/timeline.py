"""Presentation times that only go forward, from what containers state. Knows no container."""

from dataclasses import dataclass
from fractions import Fraction

JUMP_SECONDS = 1
"""A step back by this much or more is another stretch of time, not a mere disorder."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time of one frame."""

    pts: int
    """Ticks; greater than that of the frame before."""
    discontinuity: bool = False
    """Whether the stated time jumped back, so that times are continued from here."""
    repaired: bool = False
    """Whether ``pts`` differs from what the container stated."""


class Timeline:
    """Keeps the times a container states wherever they increase, and mends the rest.

    A missing time becomes the previous one plus a frame's duration. A time that stands still or steps
    back a little becomes the previous one plus one tick. A step back of a second or more (a stream
    that began anew, or files joined end to end) shifts all later times, so that they go on.
    """

    def __init__(self, time_base: Fraction, frame_ticks: int) -> None:
        self._jump_ticks = max(1, int(JUMP_SECONDS / time_base))
        self._frame_ticks = max(1, frame_ticks)
        self._last: int | None = None
        self._last_duration = self._frame_ticks
        self._shift = 0

    def stamp(self, stated: int | None, duration: int | None = None) -> Stamp:
        """Give the time of the next frame from what its container states, both in ticks."""
        stamp = self._continue_with(stated)
        self._last = stamp.pts
        self._last_duration = duration or self._frame_ticks
        return stamp

    def _continue_with(self, stated: int | None) -> Stamp:
        if self._last is None:
            return Stamp(stated if stated is not None else 0, repaired=stated is None)
        following = self._last + self._last_duration
        if stated is None:
            return Stamp(following, repaired=True)
        shifted = stated + self._shift
        if shifted > self._last:
            return Stamp(shifted)
        if self._last - shifted < self._jump_ticks:
            return Stamp(self._last + 1, repaired=True)
        self._shift += following - shifted
        return Stamp(following, discontinuity=True, repaired=True)
