"""Decides whether a run may begin, go on or stop at once in a folder, and clears away what is its own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import SinkError
from .files import make_folder, sink_error
from .journal import Entry, Journal
from .layout import JOURNAL_NAME, MANIFEST_NAME, SCRATCH_NAME, Layout
from .manifest import differences, read_manifest
from .options import FolderOptions

Verdict = Literal["fresh", "resumed", "finished"]

_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file managers leave in any folder."""


def prepare(options: FolderOptions, layout: Layout, run: Entry) -> Verdict:
    """Make the folder ready for ``run``, as ``options`` allow.

    Returns:
        ``fresh``: there is an empty scratch folder without a journal; ``resumed``: an unfinished run
        of the same identity is there; ``finished``: it is there and complete.

    Raises:
        SinkError: The folder holds something else, or cannot be written.
    """
    make_folder(options.directory)
    found = _find_run(options.directory)
    if found is not None and (options.overwrite or _is_empty(found, options)):
        _remove_run(found)
        found = None
    if found is None:
        _refuse_foreign(options, layout)
        return _begin(layout)
    if not options.resume:
        raise _refusal(options, found)
    state = _state(found)
    changed = differences(found.run, run)
    if not found.complete and not found.layout.journal.exists():
        changed = [f"its record {found.layout.journal} is gone"]
    if changed:
        raise SinkError(
            f"{options.directory} holds {state} that cannot be resumed, for {'; '.join(changed)}: "
            "run with the same settings, or begin anew with --overwrite"
        )
    if found.complete:
        _check_complete(found)
        return "finished"
    return "resumed"


def refuse_earlier_run(options: FolderOptions) -> None:
    """Raise SinkError where the folder is a file, or holds a run that may neither go on nor be removed."""
    if options.directory.exists():
        make_folder(options.directory)
    found = None if options.overwrite or options.resume else _find_run(options.directory)
    if found is not None and not _is_empty(found, options):
        raise _refusal(options, found)


def earlier_settings(directory: Path) -> dict[str, object]:
    """Return the settings of the run that a folder holds, finished or not; empty where it holds none."""
    found = _find_run(directory)
    settings = found.run.get("settings") if found is not None else None
    return settings if isinstance(settings, dict) else {}


@dataclass(frozen=True, slots=True)
class _FoundRun:
    """An earlier run in a folder."""

    layout: Layout
    """Where its files lie."""
    run: Entry
    """What identifies it, as its manifest or journal says."""
    complete: bool
    """Whether its manifest says that it finished."""
    frames: int
    """Frames that it has written, or may have written before it was killed."""

    @property
    def source(self) -> str:
        """Where its pictures came from."""
        source = self.run.get("source")
        return str(source.get("location")) if isinstance(source, dict) else "an unknown source"

    def files(self) -> Iterator[Path]:
        """Yield the path of every output it made or may have made."""
        for sequence in range(self.frames):
            for name in self.layout.frame_formats:
                yield self.layout.frame(sequence, name)
        for name in self.layout.video_formats:
            yield self.layout.video(name)


def _is_empty(found: _FoundRun, options: FolderOptions) -> bool:
    """Whether a run failed before its first frame, so that nothing is lost by beginning anew."""
    return not (found.complete or found.frames or options.resume)


def _refusal(options: FolderOptions, found: _FoundRun) -> SinkError:
    hint = (
        "overwrite it with --overwrite" if found.complete else "finish it with --resume or begin anew with --overwrite"
    )
    return SinkError(f"{options.directory} holds {_state(found)} of {found.source}: {hint}, or choose another folder")


def _state(found: _FoundRun) -> str:
    return "a finished run" if found.complete else "an unfinished run"


def _find_run(directory: Path) -> _FoundRun | None:
    manifest = _own_manifest(directory)
    if manifest and manifest.get("complete") is True:
        return _found(directory, manifest, complete=True, frames=_frame_count(manifest))
    journal = Journal(directory / SCRATCH_NAME / JOURNAL_NAME)
    run = journal.run()
    if run is not None:
        reserved = [int(str(entry["below"])) for entry in journal.entries("reserved")]
        return _found(directory, run, complete=False, frames=max(reserved, default=0))
    if manifest:
        return _found(directory, manifest, complete=False, frames=_frame_count(manifest))
    return None


def _own_manifest(directory: Path) -> Entry | None:
    path = directory / MANIFEST_NAME
    if not path.exists():
        return None
    try:
        return read_manifest(path)
    except SinkError:
        return None  # of another program or version: foreign content, which is refused as such


def _frame_count(manifest: Entry) -> int:
    frames = manifest.get("frames")
    return len(frames) if isinstance(frames, list) else 0


def _found(directory: Path, run: Entry, *, complete: bool, frames: int) -> _FoundRun:
    outputs = run.get("outputs")
    if not isinstance(outputs, dict):
        raise SinkError(f"the record of the run in {directory} is damaged: choose another folder")
    layout = Layout(directory, str(outputs["stem"]), int(outputs["first_number"]), tuple(outputs["formats"]))
    return _FoundRun(layout, run, complete, frames)


def _check_complete(found: _FoundRun) -> None:
    missing = next((path for path in found.files() if not path.exists()), None)
    if missing is not None and found.frames:
        raise SinkError(f"{missing} of a finished run is missing: make all files anew with --overwrite")


def _begin(layout: Layout) -> Verdict:
    try:
        if layout.scratch.exists():
            shutil.rmtree(layout.scratch)
    except OSError as error:
        raise sink_error(layout.scratch, error) from error
    make_folder(layout.scratch)
    return "fresh"


def _remove_run(found: _FoundRun) -> None:
    """Remove an earlier run's files; its records go last, so that a kill on the way loses no ownership."""
    try:
        for path in found.files():
            path.unlink(missing_ok=True)
        if found.layout.scratch.exists():
            shutil.rmtree(found.layout.scratch)
        found.layout.manifest.unlink(missing_ok=True)
    except OSError as error:
        raise sink_error(found.layout.directory, error) from error


def _refuse_foreign(options: FolderOptions, layout: Layout) -> None:
    try:
        names = sorted(entry.name for entry in options.directory.iterdir())
    except OSError as error:
        raise SinkError(f"cannot read {options.directory}: {error.strerror}") from error
    foreign = [name for name in names if name not in _DROPPINGS and name != SCRATCH_NAME]
    if foreign and not options.overwrite:
        others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise SinkError(
            f"{options.directory} is not empty: it holds {foreign[0]}{others}; choose another folder, "
            "or write beside them with --overwrite"
        )
    ours = {MANIFEST_NAME, *(layout.video(name).name for name in layout.video_formats)}
    clash = next((name for name in foreign if name in ours or layout.matches_frame(name)), None)
    if clash is not None:
        raise SinkError(
            f"{options.directory / clash} was not made by dptstream and would be replaced: "
            "move it away or choose another folder"
        )
