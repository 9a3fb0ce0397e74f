"""``dptstream record``: a feed into one Matroska file."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .listening import ListenFlags, ending_by_signal

if TYPE_CHECKING:
    from ..wire import FrameMessage
    from ..wire.subscriber import Subscriber

EXIT_INCOMPLETE = 3
_CAPACITY = 64
"""Frames that may wait for the disk: two seconds at 30 a second."""


@dataclass(frozen=True)
class Record:
    """Record a feed: picture, 16-bit depth, camera and true times in one file; Ctrl-C ends it properly.

    Stock players and FFmpeg read the file; `dptstream serve` and `convert` take it as the live feed it was. Where the
    feed changes its size, a further file is begun. Of several feeds the first that comes is taken, or --feed.
    """

    listen: ListenFlags
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.mkv")]
    """The file; made when the first frame comes."""
    seconds: float | None = None
    """End after so many seconds of recording."""
    frames: int | None = None
    """End after so many frames."""
    overwrite: Annotated[bool, tyro.conf.arg(aliases=["-y"])] = False
    """Replace a file that exists."""

    def run(self) -> int:
        """Record; exit code 3 when frames were lost on the way or came faster than the disk takes them."""
        self.listen.check(seconds=self.seconds, frames=self.frames)
        if self.output.suffix.lower() != ".mkv":
            name = f"{self.output.stem or 'take'}.mkv"
            raise ValueError(f"a recording is a Matroska file: call it {name}; got {str(self.output)!r}")
        if self.output.is_dir():
            raise ValueError(f"{self.output} is a folder; name a file")
        if self.output.exists() and not self.overwrite:
            raise ValueError(f"{self.output} exists already; choose another name, or give --overwrite")
        subscriber = self.listen.subscriber(capacity=_CAPACITY)
        files = Files(self.output, overwrite=self.overwrite)
        try:
            with files, subscriber, ending_by_signal(subscriber.close):
                others = self._record(subscriber, files)
        finally:  # a full disk or a sender that went away does not harm what was written before
            for path, count in files.written:
                print(f"{path}: {count} frames")
        if not files.written:
            print("dptstream: no frame came, so nothing was recorded", file=sys.stderr)
            return 1
        if others:
            print(
                f"dptstream: other feeds came, too, give --feed for one of them: {', '.join(others)}", file=sys.stderr
            )
        stats = subscriber.stats
        missing = stats.lost + stats.skipped
        if missing:
            print(f"dptstream: {stats.lost} frames were lost on the way, {stats.skipped} here", file=sys.stderr)
        return EXIT_INCOMPLETE if missing else 0

    def _record(self, subscriber: "Subscriber", files: "Files") -> list[str]:
        """Record one feed, the first that came unless --feed says otherwise; return the names of others."""
        count, begin, feed, others = 0, 0.0, "", set[str]()
        for message in subscriber.frames(timeout=self.listen.patience):
            feed = feed or message.feed
            if message.feed != feed:
                others.add(message.feed)
                continue
            files.write(message)
            count += 1
            begin = begin or time.monotonic()
            if count == self.frames or (self.seconds is not None and time.monotonic() - begin >= self.seconds):
                break
        return sorted(others)


class Files:
    """One recorder after the other: a feed that changes its size needs a new file.

    Attributes:
        written: Each file and how many frames it holds.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        from ..sinks.recording import Recorder

        self.written: list[tuple[Path, int]] = []
        self._path = path
        self._overwrite = overwrite
        self._recorder = Recorder(path, overwrite=overwrite)

    def __enter__(self) -> "Files":
        """Return the files."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the last file."""
        self._finish()

    def write(self, message: "FrameMessage") -> None:
        """Add one frame to the file it fits."""
        if not self._recorder.fits(message):
            self._finish()
            number = len(self.written) + 1
            path = self._path.with_name(f"{self._path.stem}.{number:03d}{self._path.suffix}")
            self._recorder = type(self._recorder)(path, overwrite=self._overwrite)
        self._recorder.write(message)

    def _finish(self) -> None:
        try:
            self._recorder.close()
        finally:
            if self._recorder.frames:
                self.written.append((self._recorder.path, self._recorder.frames))
