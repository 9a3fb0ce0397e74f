"""A folder with a clip's depth: files for each frame, videos and a manifest. Goes on after any interruption."""

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from ..errors import SinkError
from ..frames import DepthFrame
from .base import FeedInfo
from .deferred import DeferredWriter
from .files import sink_error, write_file
from .frame_writer import FrameWriter
from .journal import Entry, FrameRecord, Journal
from .layout import Layout
from .manifest import identity, write_manifest
from .mapping import fixed_range
from .opening import Verdict, prepare
from .options import FolderOptions
from .pool import OrderedWindow
from .progress import drop_old_states, frame_records, newest_state, restore
from .quantity import Quantity
from .summary import Summary, mapping_records
from .videos import join_videos

_RESERVED_AHEAD = 64
"""Frames whose names are claimed at once: after a kill, files up to there are known to be ours."""
_STATE_UPKEEP = 64
"""Frames between two looks for saved states that nobody will go back to."""


class DepthFolder:
    """A sink that writes one folder for one clip, as its options say.

    Nothing appears under its final name before it is whole. Whatever ended a run, one with ``resume``
    goes on there, and then every file has the bytes of a run that was never interrupted.

    Attributes:
        options: What was chosen.
        finished: Whether ``open`` found this very run done already: no frame is needed then.
        warnings: One line for each thing the user should know; complete after ``close``.
        notes: Facts about the whole run, by name, for the manifest.
    """

    def __init__(self, options: FolderOptions) -> None:
        self.options = options
        self.finished = False
        self.warnings: list[str] = []
        self.notes: dict[str, object] = {}
        self._next_sequence = 0
        self._run: _Run | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._failure: SinkError | None = None

    @property
    def next_sequence(self) -> int | None:
        """First frame whose depth is needed once the folder is open; None where the run is finished already.

        With saved states it may lie before frames that are finished; those are taken and ignored.
        """
        return None if self.finished else self._next_sequence

    def open(self, feed: FeedInfo) -> None:
        """Claim the folder, or take up what an earlier run left there.

        Raises:
            SinkError: The folder holds something else or another run, or cannot be written.
        """
        fixed_range(self.options.range, Quantity.of(feed.kind, self.options.encode))
        layout = Layout.of(self.options, feed.name)
        run = identity(feed, self.options, layout.stem)
        verdict = prepare(self.options, layout, run)
        if verdict == "finished":
            self.finished = True
            return
        self._executor = ThreadPoolExecutor(self.options.workers, thread_name_prefix="dptstream-write")
        self._run = _Run(feed, self.options, layout, run, self._executor)
        try:
            self._next_sequence = self._run.take_up(verdict)
        except SinkError:
            self._run.deferred.close()
            self._run = None
            raise

    def write(self, frame: DepthFrame) -> None:
        """Take the next frame; waits while too many are being written.

        Raises:
            SinkError: This or an earlier frame could not be written.
        """
        if self.finished:
            return
        if self._run is None:
            raise ValueError("write needs an open folder")
        if self._failure is not None:
            raise self._failure
        try:
            self._run.write(frame)
        except SinkError as error:
            self._failure = error
            raise

    def note(self, name: str, value: object) -> None:
        """Keep a fact about the whole run for the manifest, as plain JSON values."""
        self.notes[name] = value

    def warn(self, line: str) -> None:
        """Keep ``line`` for the manifest unless it is there already."""
        if line not in self.warnings:
            self.warnings.append(line)

    def save_state(self, sequence: int, blob: bytes) -> None:
        """Keep what the engine needs to go on with frame ``sequence``, before which ``blob`` was current."""
        if self._run is not None:
            self._run.save_state(sequence, blob)

    def load_state(self) -> tuple[int, bytes] | None:
        """Return the state to go on with and ``next_sequence``, which it belongs to; None where none was saved."""
        return self._run.load_state(self._next_sequence) if self._run is not None else None

    def close(self, *, complete: bool) -> None:
        """Finish the videos and the manifest, or leave everything for a later run; may be called twice.

        Raises:
            SinkError: Something could not be written, and no earlier call has said so.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            if complete:
                run.complete(self.warnings, self.notes)
            else:
                run.leave(self.warnings, self.notes, quietly=self._failure is not None)
        finally:
            run.deferred.close()
            if self._executor is not None:
                self._executor.shutdown()


class _Run:
    """An open folder."""

    def __init__(
        self, feed: FeedInfo, options: FolderOptions, layout: Layout, identity: Entry, executor: ThreadPoolExecutor
    ) -> None:
        self._feed, self._options, self._layout, self._identity = feed, options, layout, identity
        self._journal = Journal(layout.journal)
        self._writer = FrameWriter(feed, options, layout, Quantity.of(feed.kind, options.encode))
        self._window = OrderedWindow[FrameRecord](executor, options.workers + 1)
        self.deferred = DeferredWriter(feed, options, layout, self._journal, executor)
        self._due = 0
        self._done = 0
        self._reserved = 0
        self._stateful = False

    def take_up(self, verdict: Verdict) -> int:
        """Begin or restore the journal; return from which frame on depth is needed."""
        if verdict == "fresh":
            self._journal.create(self._identity)
        else:
            self._done = restore(self._journal, self._layout)
            self._stateful = any(True for _ in self._journal.entries("stateful"))
        self._due = self._done
        if self._options.deferred:
            self.deferred.take_up()
            for record in frame_records(self._journal):
                self.deferred.add(record)
        state = newest_state(self._layout, self._done)
        return (state or 0) if self._stateful else self._done

    def write(self, frame: DepthFrame) -> None:
        """Start writing ``frame`` and take note of earlier ones that are written."""
        sequence = frame.video.sequence
        if sequence < self._due:
            return
        if sequence > self._due:
            raise SinkError(f"frame {sequence} came where frame {self._due} was due: frames must come without gaps")
        if sequence >= self._reserved:
            self._reserved = sequence + _RESERVED_AHEAD
            self._journal.append({"kind": "reserved", "below": self._reserved})
        self._due += 1
        self._note(self._window.submit(partial(self._writer.write, frame)))

    def complete(self, warnings: list[str], notes: dict[str, object]) -> None:
        """Write all that is left, then the manifest, and remove the scratch."""
        try:
            self._note(self._window.drain())
            self.deferred.finish()
            videos = join_videos(self._feed, self._options, self._layout, self._journal, warnings)
        except SinkError:
            with suppress(SinkError):
                self._write_manifest(warnings, notes, {}, complete=False)
            raise
        self._write_manifest(warnings, notes, videos, complete=True)
        try:
            shutil.rmtree(self._layout.scratch)
        except OSError as error:
            raise sink_error(self._layout.scratch, error) from error

    def leave(self, warnings: list[str], notes: dict[str, object], *, quietly: bool) -> None:
        """Wait for what is in flight and say in the manifest that the run is not complete."""
        try:
            self._note(self._window.drain())
            self._write_manifest(warnings, notes, {}, complete=False)
        except SinkError:
            if not quietly:
                raise
        finally:
            self._window.abandon()

    def save_state(self, sequence: int, blob: bytes) -> None:
        """Keep ``blob`` beside the journal."""
        if not self._stateful:
            self._stateful = True
            self._journal.append({"kind": "stateful"})
        write_file(self._layout.state(sequence), blob, scratch=self._layout.scratch)

    def load_state(self, sequence: int) -> tuple[int, bytes] | None:
        """Return the state before frame ``sequence``."""
        try:
            return sequence, self._layout.state(sequence).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SinkError(f"cannot read {self._layout.state(sequence)}: {error.strerror}") from error

    def _note(self, records: Iterable[FrameRecord]) -> None:
        for record in records:
            self._journal.append(record.entry())
            self._done = record.sequence + 1
            if self._options.deferred:
                self.deferred.add(record)
            if self._stateful and self._done % _STATE_UPKEEP == 0:
                drop_old_states(self._layout, self._done)

    def _write_manifest(
        self, warnings: list[str], notes: dict[str, object], videos: dict[str, object], *, complete: bool
    ) -> None:
        summary = Summary.of(frame_records(self._journal))
        for line in summary.warnings(self._feed):
            if line not in warnings:
                warnings.append(line)
        head: Entry = {
            "complete": complete,
            **self._identity,
            "counts": summary.counts(),
            "videos": videos,
            "scene_cuts": summary.scene_cuts,
            "warnings": warnings,
            "notes": notes,
        }
        frames = frame_records(self._journal)
        write_manifest(self._layout, head, mapping_records(self._journal), frames, self._feed.time_base)
