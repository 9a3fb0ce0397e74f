"""Sums over a run's frames, for its manifest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self, cast

from .base import FeedInfo
from .journal import Entry, FrameRecord, Journal
from .mapping import LAST_CODE

ASSUMED_CAMERA = "nothing is known about the camera: a field of view of 60 degrees was assumed"
"""The warning of every run whose intrinsics are the default."""


@dataclass(slots=True)
class Summary:
    """What is counted over all frames of a run."""

    frames: int = 0
    """Frames written."""
    invalid: int = 0
    """Values that are not finite."""
    frames_beyond_codes: int = 0
    """Frames with values beyond the largest millimetre code."""
    frames_beyond_half: int = 0
    """Frames with finite values that a 16-bit float cannot hold."""
    scene_cuts: list[int] = field(default_factory=list)
    """Frames with which a new shot begins."""
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    """First frame of each size (width, height) of picture."""

    @classmethod
    def of(cls, records: Iterable[FrameRecord]) -> Self:
        """Sum over ``records``."""
        summary = cls()
        for record in records:
            summary.frames += 1
            summary.invalid += record.invalid
            summary.frames_beyond_codes += record.beyond_codes > 0
            summary.frames_beyond_half += record.beyond_half > 0
            summary.sizes.setdefault((record.width, record.height), record.sequence)
            if record.scene_cut:
                summary.scene_cuts.append(record.sequence)
        return summary

    def counts(self) -> dict[str, int]:
        """Return the counts of the manifest."""
        return {"frames": self.frames, "scene_cuts": len(self.scene_cuts), "invalid_values": self.invalid}

    def warnings(self, feed: FeedInfo) -> list[str]:
        """Return one line for each thing the user should know."""
        lines = []
        if feed.intrinsics.origin == "default":
            lines.append(ASSUMED_CAMERA)
        if self.invalid:
            lines.append(f"{self.invalid} values are not finite")
        if self.frames_beyond_codes:
            lines.append(
                f"{self.frames_beyond_codes} frames hold depths beyond {LAST_CODE / 1000} m, where 16-bit millimetres end"
            )
        if self.frames_beyond_half:
            lines.append(f"{self.frames_beyond_half} frames hold values that became infinite as 16-bit floats")
        for (width, height), sequence in self.sizes.items():
            if (width, height) != (feed.width, feed.height):
                lines.append(f"the picture changes to {width}x{height} at frame {sequence}; videos keep the first size")
        return lines


def mapping_records(journal: Journal) -> Iterator[Entry]:
    """Yield the mappings of all finished spans, in order."""
    for entry in journal.entries("mapping", "segment"):
        if entry["kind"] == "mapping":
            yield {key: value for key, value in entry.items() if key != "kind"}
        else:
            yield from cast("list[Entry]", entry["mappings"])
