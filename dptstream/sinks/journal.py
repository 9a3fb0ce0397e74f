"""The record of an unfinished run: one JSON line for each thing done. Survives a kill at any moment."""

import errno
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from ..errors import SinkError
from .files import sink_error, write_file

JOURNAL_SCHEMA = "dptstream/journal/1"

Entry = dict[str, object]
"""One line: ``{"kind": ..., ...}``. Kinds: run, reserved, frame, mapping, segment, stateful."""


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What is remembered of one written frame."""

    sequence: int
    """Number of the frame among those of the source."""
    pts: int
    """Presentation time, ticks of the feed's time base."""
    width: int
    """Width of the picture, pixels."""
    height: int
    """Height of the picture, pixels."""
    minimum: float | None
    """Smallest finite value written; None where there is none."""
    maximum: float | None
    """Largest finite value written; None where there is none."""
    invalid: int
    """Number of values that are not finite."""
    beyond_codes: int
    """Number of values beyond the largest millimetre code."""
    beyond_half: int
    """Number of finite values that a 16-bit float cannot hold."""
    scene_cut: bool
    """Whether a new shot begins here."""
    sizes: dict[str, int]
    """Bytes of each file made, by format; ``scratch`` for the depth that waits for its shot."""

    @classmethod
    def from_entry(cls, entry: Entry) -> Self:
        """Return the record that ``entry`` was made from."""
        return cls(**{key: value for key, value in entry.items() if key != "kind"})  # type: ignore[arg-type]

    def entry(self) -> Entry:
        """Return this record as a line of the journal."""
        return {"kind": "frame", **asdict(self)}


class Journal:
    """Lines that are only ever added. Lines may be added from several threads."""

    def __init__(self, path: Path) -> None:
        """Stand for the journal at ``path``, which ``create`` or an earlier run has made."""
        self.path = path
        self._lock = threading.Lock()

    def create(self, run: Entry) -> None:
        """Begin a journal with what identifies the run."""
        self._replace([{"kind": "run", "schema": JOURNAL_SCHEMA, **run}])

    def append(self, entry: Entry) -> None:
        """Add a line; a line that does not fit on the disk is taken back and raises SinkError."""
        line = _line(entry)
        with self._lock:
            try:
                with self.path.open("ab", buffering=0) as file:
                    before = file.seek(0, 2)
                    written = file.write(line)
                    if written < len(line):
                        file.truncate(before)
            except OSError as error:
                raise sink_error(self.path, error) from error
        if written < len(line):
            raise sink_error(self.path, OSError(errno.ENOSPC, "no space left on device"))

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Yield the lines of ``kinds`` (all, when none is given) up to the first torn one."""
        for entry in self._sound_lines():
            if not kinds or entry["kind"] in kinds:
                yield entry

    def run(self) -> Entry | None:
        """Return what identifies the run, or None where no journal was begun."""
        entry = next(self.entries(), None)
        return entry if entry and entry.get("schema") == JOURNAL_SCHEMA else None

    def repair(self, keep: Callable[[Entry], bool]) -> None:
        """Drop a torn end and every line that ``keep`` refuses."""
        self._replace(entry for entry in self.entries() if keep(entry))

    def _replace(self, entries: Iterator[Entry] | list[Entry]) -> None:
        content = b"".join(_line(entry) for entry in entries)
        write_file(self.path, content, scratch=self.path.parent, durable=True)

    def _sound_lines(self) -> Iterator[Entry]:
        try:
            with self.path.open("rb") as file:
                for line in file:
                    entry = _parsed(line)
                    if entry is None:
                        return
                    yield entry
        except FileNotFoundError:
            return
        except OSError as error:
            raise SinkError(f"cannot read {self.path}: {error.strerror}") from error


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, separators=(",", ":"), default=str).encode() + b"\n"


def _parsed(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "kind" in entry else None
