"""Listens to a feed in threads of its own and keeps the newest frame ready for Blender. Knows no ``bpy``."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .light import errors, wire, with_socket
from .pictures import Picture, laid_out

if TYPE_CHECKING:
    from dptstream.wire import FrameMessage, StatusMessage
    from dptstream.wire.subscriber import SubscriberStats

SILENT_SECONDS = 3.0
"""A sender gives a sign of life each second; after so long without one something is wrong."""
_WARNING_SECONDS = 15.0
"""While frames come, an older warning is of no interest."""
_RETRY_SECONDS = 0.2
_JOIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """How listening goes; a snapshot."""

    feeds: tuple[str, ...]
    """Names of all feeds seen at the address."""
    following: str
    """The feed that is shown; empty before the first."""
    alive: bool
    """Whether the sender gave a sign of life just now."""
    status: "StatusMessage | None"
    """The last sign of life of the feed that is shown."""
    stats: "SubscriberStats"
    """Counts."""
    problem: str
    """What is wrong and what to do, one line; empty where nothing is."""


class Receiver:
    """Follows one feed of an address until ``close``; the newest frame waits in a mailbox of one slot.

    Args:
        endpoint: Address of the sender.
        feed: Name of the feed to follow; empty for whichever comes first.
        keys: Folder with this client's keys; None for a sender without keys.

    Raises:
        MissingExtraError: pyzmq is not there.
        WireError: The keys cannot be read.
        ValueError: ``endpoint`` cannot be an address.
    """

    def __init__(self, endpoint: str, feed: str = "", keys: Path | None = None) -> None:
        module = with_socket("subscriber")
        self._encrypted = keys is not None
        client = None if keys is None else with_socket("keys").load_client_keys(keys)
        self.endpoint = endpoint
        self._feed = feed
        self._following, self._followed_at = feed, 0.0
        self._lock = threading.Lock()
        self._picture: Picture | None = None
        self._skipped = 0
        self._closing = threading.Event()
        self.tap: Callable[[FrameMessage], None] | None = None
        """Called from the receiving thread with each frame of the feed that is followed; it must not wait."""
        self._warnings = _Warnings()
        self._logger = logging.getLogger(wire.__name__)
        self._subscriber: Any = module.Subscriber(endpoint, keys=client, on_message=self._note)
        self._heard: dict[str, float] = {}
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="dptstream-receiver", daemon=True)
        self._subscriber.start()
        self._logger.addHandler(self._warnings)
        self._thread.start()

    def take(self) -> Picture | None:
        """Return the newest frame that was not taken yet; never waits."""
        with self._lock:
            picture, self._picture = self._picture, None
            return picture

    def follow(self, feed: str) -> None:
        """Follow another feed from now on; empty for whichever comes."""
        with self._lock:
            self._feed, self._following, self._picture = feed, feed, None

    def report(self) -> Report:
        """Return how it goes."""
        with self._lock:
            following = self._following
        alive = self._subscriber.alive
        return Report(
            feeds=tuple(sorted(self._heard)),
            following=following,
            alive=alive,
            status=self._subscriber.status().get(following),
            stats=self._stats(),
            problem=self._problem(alive, following),
        )

    def close(self) -> None:
        """Let go of the socket and end both threads; may be called twice."""
        self._closing.set()
        self._logger.removeHandler(self._warnings)
        self._subscriber.close()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    def _stats(self) -> Any:
        stats = self._subscriber.stats
        return replace(stats, skipped=stats.skipped + self._skipped)

    def _note(self, message: Any) -> None:
        self._heard[message.feed] = time.monotonic()

    def _problem(self, alive: bool, following: str) -> str:
        warned_at, warning = self._warnings.last
        if warning and (not alive or time.monotonic() - warned_at < _WARNING_SECONDS):
            return warning
        if alive and following and following not in self._heard:
            return f"there is no feed {following!r} at {self.endpoint}; there are: {', '.join(sorted(self._heard))}"
        if alive or time.monotonic() - self._started < SILENT_SECONDS:
            return ""
        keys = "is this client's key on its list" if self._encrypted else "does it want keys"
        return f"nothing comes from {self.endpoint}: is dptstream serve running there, and {keys}?"

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                for message in self._subscriber.frames(follow=True):
                    if self._is_wanted(message.feed):
                        tap = self.tap
                        if tap is not None:
                            tap(message)
                        self._deliver(message)
            except errors.WireError:
                pass  # the frames end for good, and the wire warned why; yet a sender of this version may follow
            except Exception as error:  # noqa: BLE001 - one frame's fault must not end all that follow
                self._logger.warning("a frame from %s cannot be shown: %s", self.endpoint, errors.describe(error))
            self._closing.wait(_RETRY_SECONDS)

    def _is_wanted(self, feed: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if not self._feed and now - self._followed_at > SILENT_SECONDS:
                self._following = feed
            if feed != self._following:
                return False
            self._followed_at = now
            return True

    def _deliver(self, message: "FrameMessage") -> None:
        picture = laid_out(message)
        with self._lock:
            if message.feed != self._following:
                return
            self._skipped += self._picture is not None
            self._picture = picture


class _Warnings(logging.Handler):
    """Keeps the last warning of the wire, which knows best why nothing comes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: tuple[float, str] = (0.0, "")
        """When it came, and its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.last = (time.monotonic(), record.getMessage())
