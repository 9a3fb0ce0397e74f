"""What `dptstream view` is given, as feeds: an address, a folder, or anything that a child `serve` plays."""

import importlib.util
import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import DptStreamError, MissingExtraError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..sources.base import Source
    from ..viewer.folder import Pictures
    from ..viewer.live import LiveFeed
    from ..viewer.sequence import SequenceFeed
    from ..wire import FrameMessage

ANY_PORT = "tcp://127.0.0.1:*"
_STOP_SECONDS = 5.0
_KEPT_LINES = 20
_LENGTH_SECONDS = 5.0
_STILL_RATE = "4"
"""A single picture is computed so many times a second: enough to answer a change of the network at once."""
_STILL_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_NEAR_SECONDS = 2
"""Up to so far ahead a picture is reached by decoding on; beyond, and backwards, by opening the clip there."""


def is_endpoint(what: str) -> bool:
    """Return whether ``what`` is the address of a feed, and not that of a video."""
    return what.partition("://")[0] in ("tcp", "ipc") and "://" in what


def is_folder(what: str) -> bool:
    """Return whether ``what`` is a folder that `convert` wrote, or its manifest."""
    path = Path(what)
    return path.name == "manifest.json" or (path / "manifest.json").is_file()


def can_loop(what: str) -> bool:
    """Return whether ``what`` is a file or files, and so can be played again; cameras and addresses cannot."""
    path = Path(what)
    numbered = "://" not in what and any(sign in what for sign in "*%")
    return what.startswith("synthetic:") or path.is_file() or path.is_dir() or numbered


def open_folder(what: str) -> "SequenceFeed":
    """Open a folder of depth, with the colours of its clip where that is found and can be decoded here."""
    from ..viewer.folder import DepthSequence
    from ..viewer.sequence import SequenceFeed

    sequence = DepthSequence(Path(what))
    sequence.pictures, note = _pictures_of(sequence.location, Path(what), sequence.settings)
    return SequenceFeed(sequence, note=note)


def _pictures_of(location: str, folder: Path, settings: dict[str, object]) -> "tuple[Pictures | None, str]":
    here = folder.parent if folder.name == "manifest.json" else folder
    candidates = [location, str(here.parent / Path(location).name), str(here / Path(location).name)]
    found = next((path for path in candidates if path.startswith("synthetic:") or Path(path).exists()), None)
    if found is None:
        return None, f"coloured by depth: the clip {Path(location).name} was not found"
    try:
        return SourcePictures(found, settings), ""
    except ImportError as error:
        return None, f"coloured by depth: the clip's pictures need {error.name}, which is not installed here"
    except DptStreamError as error:
        return None, f"coloured by depth: {error}"


class SourcePictures:
    """A clip's pictures by their time, forwards at the speed of decoding.

    Args:
        location: The clip.
        settings: Those of the manifest; ``start`` and ``crop`` say which part of the clip the depth is of.

    Raises:
        ImportError: What decodes is not installed.
        SourceError: The clip cannot be opened.
    """

    def __init__(self, location: str, settings: dict[str, object]) -> None:
        from ..sources import SourceOptions, open_source, parse_crop, parse_time

        start, crop, rate = (settings.get(name) for name in ("start", "crop", "picture_rate"))
        self._options = SourceOptions(
            start=parse_time(str(start)) if start else None,
            crop=parse_crop(str(crop)) if crop else None,
            picture_rate=Fraction(str(rate)) if rate else SourceOptions().picture_rate,
        )
        self._open: Callable[[SourceOptions], Source] = lambda options: open_source(location, options)
        self._source = self._open(self._options)
        self._frames = iter(self._source)
        self._first_pts: int | None = None
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def at(self, pts: int) -> "NDArray[np.uint8] | None":
        """Return the (H, W, 3) RGB picture with this presentation time; None where the clip has none."""
        try:
            return self._find(pts)
        except SourceError:
            return None

    def close(self) -> None:
        """Close the clip; may be called twice."""
        self._source.close()

    def _find(self, pts: int) -> "NDArray[np.uint8] | None":
        if self._first_pts is None:
            self._advance()
            self._first_pts = self._last[0] if self._last else None
        if self._last is None or self._first_pts is None:
            return None
        near = _NEAR_SECONDS / self._source.info.time_base
        if not 0 <= pts - self._last[0] <= near:
            self._reopen(pts)
        while self._last is not None and self._last[0] < pts:
            self._advance()
        return self._last[1] if self._last is not None and self._last[0] == pts else None

    def _advance(self) -> None:
        frame = next(self._frames, None)
        self._last = None if frame is None else (frame.pts, frame.image)

    def _reopen(self, pts: int) -> None:
        from dataclasses import replace

        from ..sources.options import Time

        assert self._first_pts is not None
        info, start = self._source.info, self._options.start
        begin = Fraction(0)
        if start is not None:
            begin = start.value if start.unit == "seconds" else start.value / (info.average_rate or 25)
        seconds = begin + (pts - self._first_pts) * info.time_base
        self._source.close()
        # Times in a manifest are exact, but where a clip begins is not: half a second earlier costs little.
        self._source = self._open(replace(self._options, start=Time(max(Fraction(0), seconds - Fraction(1, 2)))))
        self._frames = iter(self._source)
        self._advance()


class ServeChild:
    """A `dptstream serve` of our own on this machine, so that no network slows down what is seen.

    It keeps its address when it is given something else to play, so whoever listens stays connected.

    Args:
        arguments: Options of `serve` for whatever is played.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._playing: tuple[str, Sequence[str]] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        self.endpoint, self.control = ANY_PORT, ANY_PORT

    @property
    def running(self) -> bool:
        """Whether it plays something."""
        return self._process is not None and self._process.poll() is None

    def play(self, what: str, own: Sequence[str] = ()) -> None:
        """Play this from now on; where it cannot be played, what was played before goes on.

        Args:
            what: Input of `serve`.
            own: Options that belong to this input alone.

        Raises:
            MissingExtraError: There is no torch.
            SourceError: It cannot be played; the reason is that of `serve`.
        """
        if importlib.util.find_spec("torch") is None:
            raise MissingExtraError(
                f"computing the depth of {what} needs torch: pip install dptstream; without it, view a feed "
                "(tcp://HOST:PORT) or a folder that `dptstream convert` wrote"
            )
        try:
            self._start(what, own)
        except SourceError:
            if self._playing is not None:
                with suppress(SourceError):
                    self._start(*self._playing)
            raise
        self._playing = what, own

    def _start(self, what: str, own: Sequence[str]) -> None:
        self.close()
        rate = ["--picture-rate", _STILL_RATE] if Path(what).suffix.lower() in _STILL_SUFFIXES else []
        words = ["serve", what, "--json", "--bind", self.endpoint, "--control", self.control, *self._arguments]
        words += [*own, *rate]
        self._errors.clear()
        process = subprocess.Popen(
            [sys.executable, "-m", "dptstream", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._readers = [threading.Thread(target=self._keep, args=(process.stderr,), daemon=True)]
        self._readers[0].start()
        first = process.stdout.readline()
        # Whatever comes on must be read: a full pipe would stop the child.
        self._readers.append(threading.Thread(target=_drain, args=(process.stdout,), daemon=True))
        self._readers[1].start()
        if not first:
            process.wait()
            self.close()
            last = self._errors[-1] if self._errors else f"dptstream serve ended with code {process.returncode}"
            raise SourceError(last.removeprefix("dptstream: "))
        addresses = json.loads(first)
        self.endpoint, self.control = addresses["endpoint"], addresses["control"]

    def close(self) -> None:
        """End it; may be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join(_STOP_SECONDS)

    def _keep(self, lines: TextIO) -> None:
        with lines:
            self._errors.extend(line.strip() for line in lines if line.strip())


def _drain(lines: TextIO) -> None:
    with lines:
        for _ in lines:
            pass


def open_played(what: str, child: ServeChild, own: Sequence[str] = (), *, capacity: int) -> "LiveFeed":
    """Have a child play ``what``, and listen to it."""
    from ..viewer.live import LiveFeed

    child.play(what, own)
    length = length_of(what)
    return LiveFeed(child.endpoint, control=child.control, length=length, capacity=capacity, on_close=child.close)


def once_through(messages: "Iterator[FrameMessage]") -> "Iterator[FrameMessage]":
    """Yield the frames of one whole passage of a clip that is played in a loop, each once.

    Whoever begins to listen may miss the first frames; then the passage begins where the clip does next.
    """
    first: FrameMessage | None = None
    before: FrameMessage | None = None
    for message in messages:
        restarted = message.discontinuity and before is not None and message.pts_seconds <= before.pts_seconds
        before = message
        if first is not None and restarted:
            return
        if first is None and (message.sequence == 0 or restarted):
            first = message
        if first is not None:
            yield message


def length_of(what: str) -> float | None:
    """Return how many seconds a file lasts, as far as its container says so."""
    try:
        import av
    except ImportError:
        return None
    try:
        with av.open(what, timeout=_LENGTH_SECONDS) as container:
            return None if container.duration is None else container.duration / 1_000_000
    except (OSError, ValueError, av.FFmpegError):
        return None


def as_arguments(flags: Any) -> list[str]:
    """Return a dataclass of flags as the words of a command line, without those that have their default."""
    words: list[str] = []
    defaults = type(flags)()
    for field in fields(flags):
        value = getattr(flags, field.name)
        if value == getattr(defaults, field.name):
            continue
        words.append("--" + field.name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return words
