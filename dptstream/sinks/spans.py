"""Which frames share one range, decided as frames go by. Knows no file."""

from collections.abc import Iterator
from dataclasses import dataclass

from .journal import FrameRecord

SEGMENT_FRAMES = 240
"""Most frames of one encoded segment: what a resumed run may have to encode again."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames ``first`` to ``end`` (not included) that are mapped alike."""

    first: int
    """Sequence of the first frame."""
    end: int
    """Sequence after the last frame."""
    minimum: float | None
    """Smallest value in the span; None where no frame has any."""
    maximum: float | None
    """Largest value in the span."""

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield first and end of the parts in which the span is encoded."""
        for first in range(self.first, self.end, SEGMENT_FRAMES):
            yield first, min(first + SEGMENT_FRAMES, self.end)


class SpanPlanner:
    """Gathers frames into spans: shots, the whole clip, or equal pieces where no range is waited for."""

    def __init__(self, *, split_at_cuts: bool, largest: int | None) -> None:
        """Close a span before a scene cut if ``split_at_cuts``, and after ``largest`` frames if given."""
        self._split_at_cuts = split_at_cuts
        self._largest = largest
        self._open: Span | None = None

    def add(self, record: FrameRecord) -> Span | None:
        """Take the next frame; return the span that thereby ended, if one did."""
        closed = None
        if self._open and self._ends_before(record, self._open):
            closed, self._open = self._open, None
        self._open = _extended(self._open, record)
        return closed

    def finish(self) -> Span | None:
        """Return the span that the clip's end closes, if there is one."""
        closed, self._open = self._open, None
        return closed

    def _ends_before(self, record: FrameRecord, span: Span) -> bool:
        full = self._largest is not None and span.end - span.first >= self._largest
        return full or (self._split_at_cuts and record.scene_cut)


def _extended(span: Span | None, record: FrameRecord) -> Span:
    if span is None:
        return Span(record.sequence, record.sequence + 1, record.minimum, record.maximum)
    lows = [low for low in (span.minimum, record.minimum) if low is not None]
    highs = [high for high in (span.maximum, record.maximum) if high is not None]
    return Span(span.first, record.sequence + 1, min(lows, default=None), max(highs, default=None))
