"""What an unfinished run has done, checked against the files that are really there."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from .files import discard
from .journal import Entry, FrameRecord, Journal
from .layout import Layout
from .options import Format


def frame_records(journal: Journal) -> Iterator[FrameRecord]:
    """Yield the records of finished frames, in order."""
    return map(FrameRecord.from_entry, journal.entries("frame"))


def restore(journal: Journal, layout: Layout) -> int:
    """Bring a journal back to what the files bear out; return how many frames are finished.

    A power cut may have taken the newest files, and people remove things. Where a file is missing or
    has another size, its frame is done again, with all after it, and with the earlier frames of its
    span when these have given up their scratch.
    """
    done = sum(1 for _ in journal.entries("frame"))
    keep = min(done, _first_bad_segment(journal, layout), _first_bad_frame(journal, layout))
    for entry in journal.entries("mapping", "segment"):
        if _int(entry["first"]) < keep < _int(entry["end"]):
            keep = _int(entry["first"])
    # Also without a loss: this drops the torn line that a kill may have left at the end.
    journal.repair(lambda entry: _lies_before(entry, keep))
    return keep


def newest_state(layout: Layout, done: int) -> int | None:
    """Return the newest frame, at most ``done``, before which the engine's state was saved; remove later ones."""
    kept = None
    for path, sequence in _states(layout):
        if sequence > done:
            discard(path)
        else:
            kept = sequence
    return kept


def drop_old_states(layout: Layout, done: int) -> None:
    """Remove the states that a run killed from now on would not go back to."""
    usable = [path for path, sequence in _states(layout) if sequence <= done]
    for path in usable[:-1]:
        discard(path)


def _states(layout: Layout) -> list[tuple[Path, int]]:
    return [(path, int(path.suffixes[0][1:])) for path in sorted(layout.scratch.glob("state.*.bin"))]


def _first_bad_segment(journal: Journal, layout: Layout) -> int:
    """Return the first frame of the first finished segment that lacks a file; beyond all frames if none does."""
    for entry in journal.entries("segment"):
        first, sizes = _int(entry["first"]), cast("dict[Format, list[int]]", entry["sizes"])
        for name, per_file in sizes.items():
            if name in layout.frame_formats:
                paths = [layout.frame(first + offset, name) for offset in range(len(per_file))]
            else:
                paths = [layout.segment(first, name)]
            if [_size(path) for path in paths] != per_file:
                return first
    return _BEYOND


def _first_bad_frame(journal: Journal, layout: Layout) -> int:
    finished = max((_int(entry["end"]) for entry in journal.entries("segment")), default=0)
    for record in frame_records(journal):
        for name, size in record.sizes.items():
            if name != "scratch":
                path = layout.frame(record.sequence, cast("Format", name))
            elif record.sequence >= finished:
                path = layout.scratch_frame(record.sequence)
            else:
                continue
            if _size(path) != size:
                return record.sequence
    return _BEYOND


_BEYOND = 1 << 62


def _lies_before(entry: Entry, keep: int) -> bool:
    if entry["kind"] == "frame":
        return _int(entry["sequence"]) < keep
    if entry["kind"] in ("mapping", "segment"):
        return _int(entry["end"]) <= keep
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _int(value: object) -> int:
    return cast("int", value)
