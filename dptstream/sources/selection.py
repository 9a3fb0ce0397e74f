"""Which frames of a source are wanted. Knows numbers and times, no pictures."""

import math
from enum import Enum
from fractions import Fraction

from .options import SourceOptions, Time

_EARLY = Fraction(1, 10)
"""How early a frame may come for its turn, in turns: containers round times, often to milliseconds."""


class Verdict(Enum):
    """What becomes of a frame."""

    KEEP = "keep"
    SKIP = "skip"
    STOP = "stop"
    """This frame and all that follow are not wanted."""


class FrameSelector:
    """Applies start, end, every and fps, in this order. Give it each frame once, in presentation order."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._wanted = 0
        self._origin: Fraction | None = None
        self._last_turn = -1

    def judge(self, number: int, seconds: Fraction) -> Verdict:
        """Decide about the frame ``number`` of the source, shown ``seconds`` after the source's first frame."""
        options = self._options
        if options.end and _position(options.end, number, seconds) >= options.end.value:
            return Verdict.STOP
        if options.start and _position(options.start, number, seconds) < options.start.value:
            return Verdict.SKIP
        self._wanted += 1
        if (self._wanted - 1) % options.every:
            return Verdict.SKIP
        return Verdict.KEEP if options.fps is None or self._is_due(seconds, options.fps) else Verdict.SKIP

    def _is_due(self, seconds: Fraction, fps: Fraction) -> bool:
        if self._origin is None:
            self._origin = seconds
        turn = math.floor((seconds - self._origin) * fps + _EARLY)
        if turn <= self._last_turn:
            return False
        self._last_turn = turn
        return True


def expected_count(total: int | None, rate: Fraction | None, options: SourceOptions) -> int | None:
    """Estimate how many of ``total`` frames at ``rate`` the options leave; None where it cannot be told."""
    first = _frames_at(options.start, rate) if options.start else 0
    last = _frames_at(options.end, rate) if options.end else total
    if first is None or last is None:
        return None
    wanted = max(0, min(last, total if total is not None else last) - first)
    count = math.ceil(wanted / options.every)
    if options.fps is None:
        return count
    if rate is None:
        return None
    return min(count, math.ceil(wanted / rate * options.fps))


def _position(time: Time, number: int, seconds: Fraction) -> Fraction | int:
    return number if time.unit == "frames" else seconds


def _frames_at(time: Time, rate: Fraction | None) -> int | None:
    if time.unit == "frames":
        return int(time.value)
    return None if rate is None else math.ceil(time.value * rate)
