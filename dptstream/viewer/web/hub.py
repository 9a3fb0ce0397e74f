"""Takes frames from feeds and holds the newest of each for any number of pages. Knows no HTTP."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import DptStreamError, describe
from ..feeds import Feed, FeedStatus
from .packets import Packet

FORGET_SECONDS = 3.0
"""A name that gave nothing for so long, while its feed gives frames under another one, is past."""

_TAKE_SECONDS = 0.2
_JOIN_SECONDS = 3.0
_RATE_SECONDS = 2.0
_MAX_NAMES = 64
"""Feeds of one sender that are told apart, as the wire's subscriber does."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Named:
    """One feed on the wire; a ``Feed`` may bring several."""

    feed: Feed
    packet: Packet
    count: int = 0
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=120))


@dataclass(frozen=True, slots=True)
class FeedReport:
    """How one feed goes, for pages."""

    name: str | None
    """Its name on the wire; None before its first frame."""
    feed: Feed
    """Where it comes from."""
    status: FeedStatus
    """What that says."""
    frames: int
    """Frames taken so far."""
    frames_per_second: float
    """Frames taken, over the last two seconds."""


class Hub:
    """Holds the newest frame of each feed; slow pages find it replaced, and hold up nobody.

    Use it as a context manager within a running event loop: threads take frames from the feeds, ``next_packet`` gives
    them to the loop's tasks.
    """

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = tuple(feeds)
        self._named: dict[str, _Named] = {}
        self._failures: dict[int, str] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._waiting: set[asyncio.Event] = set()
        self._wake_due = False

    def __enter__(self) -> "Hub":
        """Begin to take frames."""
        loop = asyncio.get_running_loop()
        for feed in self._feeds:
            thread = threading.Thread(target=self._take, args=(feed, loop), name="dptstream-web-feed", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the feeds stay open, they belong to whoever opened them."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    async def next_packet(self, name: str | None, last: Packet | None) -> Packet:
        """Return the newest frame of ``name`` (None: of the feed that came first), waiting while that is ``last``."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            while True:
                event.clear()
                packet = self._newest(name)
                if packet is not None and packet is not last:
                    return packet
                await event.wait()
        finally:
            self._waiting.discard(event)

    def reports(self) -> list[FeedReport]:
        """Return how each feed goes."""
        now = time.monotonic()
        with self._lock:
            named = list(self._named.items())
            failures = dict(self._failures)
        reports = []
        for feed in self._feeds:
            status = feed.status()
            if id(feed) in failures:
                status = FeedStatus("failed", failures[id(feed)])
            own = [(name, entry) for name, entry in named if entry.feed is feed]
            reports += [FeedReport(name, feed, status, entry.count, _rate(entry, now)) for name, entry in own]
            if not own:
                reports.append(FeedReport(None, feed, status, 0, 0.0))
        return reports

    def find(self, name: str | None) -> Feed:
        """Return the feed that brings ``name``, else the first."""
        with self._lock:
            entry = self._named.get(name or "")
        return entry.feed if entry is not None else self._feeds[0]

    def _newest(self, name: str | None) -> Packet | None:
        with self._lock:
            entry = next(iter(self._named.values()), None) if name is None else self._named.get(name)
            return None if entry is None else entry.packet

    def _take(self, feed: Feed, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                message = feed.newest(_TAKE_SECONDS)
            except DptStreamError as error:
                self._note(feed, describe(error))
                self._stopping.wait(_TAKE_SECONDS)  # a sender of another version may be replaced by a right one
                continue
            except Exception as error:  # noqa: BLE001 - the other feeds go on, and pages are told
                self._note(feed, describe(error))
                _LOG.exception("%s cannot be shown any more", feed.title)
                return
            if message is None:
                continue
            with self._lock:
                self._failures.pop(id(feed), None)
                self._forget_past(feed, message.feed)
                if message.feed not in self._named and len(self._named) >= _MAX_NAMES:
                    continue
                packet = Packet(message)
                entry = self._named.setdefault(message.feed, _Named(feed, packet))
                entry.feed, entry.packet = feed, packet
                entry.count += 1
                entry.arrivals.append(time.monotonic())
                wake, self._wake_due = not self._wake_due, True
            if wake:  # one call waits at most, however long the loop is busy
                try:
                    loop.call_soon_threadsafe(self._wake)
                except RuntimeError:  # the loop is closed
                    return

    def _forget_past(self, feed: Feed, name: str) -> None:
        """Forget names that ``feed`` had before: it may turn to another film at any time. Needs the lock."""
        long_ago = time.monotonic() - FORGET_SECONDS
        for other, entry in list(self._named.items()):
            if entry.feed is feed and other != name and entry.arrivals[-1] < long_ago:
                del self._named[other]

    def _note(self, feed: Feed, failure: str) -> None:
        with self._lock:
            self._failures[id(feed)] = failure

    def _wake(self) -> None:
        with self._lock:
            self._wake_due = False
        for event in self._waiting:
            event.set()


def _rate(entry: _Named, now: float) -> float:
    recent = [moment for moment in entry.arrivals if now - moment < _RATE_SECONDS]
    if len(recent) < 2:
        return len(recent) / _RATE_SECONDS
    return (len(recent) - 1) / max(now - recent[0], recent[-1] - recent[0])
