"""Receives messages in a thread of its own and keeps the newest. Needs pyzmq; needs no torch."""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from ..errors import WireError, WireVersionError
from .connection import Connection
from .endpoints import DEFAULT_ENDPOINT
from .keys import ClientKeys
from .messages import FrameMessage, Message, StatusMessage, check_feed
from .packing import DEFAULT_LIMITS, Limits, Part, unpack

HIGH_WATER_MARK = 0
"""Messages that ZeroMQ keeps for the receiving thread, which is quick to take them: no limit.

Where a limit was reached and the connection is then given up, as after three seconds without Python's lock in a busy
Blender, libzmq 4.3.5 ends the whole process at the next read ("Assertion failed: _input_stopped").
"""
ALIVE_SECONDS = 3.0
"""A feed gives a sign of life each second; after so long without any it counts as away."""
MAX_FEEDS = 64
"""Feeds of one address that are told apart; a sender that invents more is not listened to."""

KEY_HINT = "One with keys is silent to whoever is not on its list."
"""What may be wrong where nothing comes."""

_POLL_MS = 50
_JOIN_SECONDS = 2.0
_LOG_AGAIN_SECONDS = 10.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SubscriberStats:
    """Counts since the start; a snapshot."""

    received: int = 0
    """Frames that came."""
    lost: int = 0
    """Frames that were sent but did not come: gaps in the sequence."""
    skipped: int = 0
    """Frames that came but were replaced by newer ones before anybody took them."""
    rejected: int = 0
    """Messages that were not understood."""
    sessions: int = 0
    """Sessions seen, of all feeds; one more each time a sender starts anew."""
    received_bytes: int = 0
    """Bytes of all parts of all messages."""


@dataclass(slots=True)
class _Feed:
    """What is known of a feed."""

    mailbox: deque[tuple[int, FrameMessage]]
    """Frames that wait, with their order of arrival."""
    session: str = ""
    next_sequence: int | None = None
    ended: bool = False
    status: StatusMessage | None = None


@dataclass(slots=True)
class _State:
    """What the receiving thread and the others share, under one lock."""

    feeds: dict[str, _Feed] = field(default_factory=dict)
    stats: SubscriberStats = field(default_factory=SubscriberStats)
    failure: WireError | None = None
    last_message: float = 0.0


class Subscriber:
    """Listens to the feeds of one address: latest frame wins.

    It connects and reconnects by itself, before or after the sender starts. Use it as an iterator, call ``receive``
    from a loop or timer of your own, or be called back::

        with Subscriber("tcp://127.0.0.1:5577") as subscriber:
            for message in subscriber:
                points = unproject(message.depth.values(), message.intrinsics)

    Args:
        endpoint: Address of the sender.
        feed: Name of the one feed to listen to; None listens to all of them.
        keys: The client's keys, for a sender with keys.
        capacity: Frames of a feed that may wait. 1 is for live use: whoever is slow always gets the newest. More is
            for recording, where a short pause should cost nothing.
        on_message: Called in the receiving thread with each message that came whole; must be quick.
        limits: What is accepted.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        feed: str | None = None,
        keys: ClientKeys | None = None,
        capacity: int = 1,
        on_message: Callable[[Message], None] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if feed is not None:
            check_feed(feed)
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1; got {capacity}")
        self.endpoint = endpoint
        self._feed = feed
        self._keys = keys
        self._capacity = capacity
        self._on_message = on_message
        self._limits = limits
        self._state = _State()
        self._changed = threading.Condition()
        self._arrivals = itertools.count()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log_after = 0.0

    def start(self) -> Self:
        """Begin to listen, once; raises ValueError for an endpoint that cannot be one, and after ``close``."""
        if self._stopping.is_set():
            raise ValueError("this subscriber was closed: make a new one")
        if self._thread is not None:
            return self
        # The last slash keeps cam1 from matching cam10.
        topic = b"dpt/" if self._feed is None else f"dpt/{self._feed}/".encode()
        connection = Connection(
            self.endpoint,
            topic,
            self._keys,
            high_water_mark=HIGH_WATER_MARK,
            max_part_bytes=self._limits.max_plane_bytes,
        )
        self._thread = threading.Thread(
            target=self._receive_loop, args=(connection,), name="dptstream-subscriber", daemon=True
        )
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        """Begin to listen."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self.close()

    def close(self) -> None:
        """Stop listening, whether or not anybody is on the other side; wakes whoever waits; may be called twice."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SECONDS)

    @property
    def stats(self) -> SubscriberStats:
        """Counts so far."""
        with self._changed:
            return self._state.stats

    @property
    def alive(self) -> bool:
        """Whether the sender gave any sign of life in the last three seconds."""
        return time.monotonic() - self._state.last_message < ALIVE_SECONDS

    @property
    def running(self) -> bool:
        """Whether it listens: started, and not closed."""
        return self._thread is not None and not self._stopping.is_set()

    @property
    def ended(self) -> bool:
        """Whether every feed that was seen, at least one, said that it ended."""
        with self._changed:
            return self._ended()

    def status(self) -> dict[str, StatusMessage]:
        """Return the last sign of life of each feed."""
        with self._changed:
            return {name: feed.status for name, feed in self._state.feeds.items() if feed.status is not None}

    def receive(self, timeout: float | None = None) -> FrameMessage | None:
        """Take the next frame; with capacity 1, the newest one that nobody took yet.

        Args:
            timeout: Seconds to wait; 0 does not wait; None waits until a frame, the end or ``close``.

        Returns:
            The frame, or None when the time is up, the feeds have ended or the subscriber is closed.

        Raises:
            WireVersionError: The sender speaks another version of the wire.
        """
        return self._receive(timeout, follow=False)

    def __iter__(self) -> Iterator[FrameMessage]:
        """Yield frames until the feeds end or the subscriber is closed."""
        return self.frames()

    def frames(self, *, timeout: float | None = None, follow: bool = False) -> Iterator[FrameMessage]:
        """Yield frames.

        Args:
            timeout: Give up after so many seconds without any sign of life; a feed that is paused gives one each second.
            follow: Go on after the end of a feed, for the next session.

        Raises:
            WireError: Nothing came for so long.
        """
        while True:
            message = self._receive(timeout, follow=follow)
            if message is not None:
                yield message
            elif self._stopping.is_set() or (self.ended and not follow):
                return
            elif timeout is not None and time.monotonic() - self._state.last_message >= timeout:
                raise WireError(
                    f"nothing came from {self.endpoint} for {timeout:g} s; is dptstream serving there? {KEY_HINT}"
                )

    def _receive(self, timeout: float | None, *, follow: bool) -> FrameMessage | None:
        if self._thread is None and not self._stopping.is_set():
            raise ValueError("this subscriber does not listen yet: use it in a `with` statement, or call start()")
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._waiting()
                    or self._state.failure is not None
                    or self._stopping.is_set()
                    or (self._ended() and not follow)
                ),
                timeout,
            )
            feeds = self._waiting()
            if feeds:
                return min(feeds, key=lambda feed: feed.mailbox[0][0]).mailbox.popleft()[1]
            if self._state.failure is not None:
                raise self._state.failure
            return None

    def _waiting(self) -> list[_Feed]:
        return [feed for feed in self._state.feeds.values() if feed.mailbox]

    def _ended(self) -> bool:
        feeds = self._state.feeds.values()
        return bool(feeds) and all(feed.ended and not feed.mailbox for feed in feeds)

    def _receive_loop(self, connection: Connection) -> None:
        """Own the connection: nobody else touches it, and it is closed where it was used."""
        try:
            while not self._stopping.is_set():
                if connection.poll(_POLL_MS):
                    self._take(connection.read(self._limits.max_parts))
        finally:
            connection.close()
            self._stopping.set()
            with self._changed:
                self._changed.notify_all()

    def _take(self, parts: list[Part]) -> None:
        try:
            message = unpack(parts, limits=self._limits)
        except WireError as error:
            self._reject(error)
            return
        with self._changed:
            if not self._file(message, sum(map(len, parts))):
                return
            self._changed.notify_all()
        if self._on_message is not None:
            try:
                self._on_message(message)
            except Exception:  # noqa: BLE001 - whatever a callback raises, listening goes on
                _LOG.exception("the callback for messages of %s failed", self.endpoint)

    def _reject(self, error: WireError) -> None:
        with self._changed:
            self._state.stats = replace(self._state.stats, rejected=self._state.stats.rejected + 1)
            if isinstance(error, WireVersionError):
                self._state.failure = error
                self._changed.notify_all()
        if time.monotonic() >= self._log_after:
            self._log_after = time.monotonic() + _LOG_AGAIN_SECONDS
            _LOG.warning("a message from %s was not understood: %s", self.endpoint, error)

    def _file(self, message: Message, size: int) -> bool:
        """Count the message and put it where it belongs; return whether anybody is to know of it."""
        state, stats = self._state, self._state.stats
        feed = state.feeds.get(message.feed)
        if feed is None:
            if len(state.feeds) >= MAX_FEEDS:
                state.stats = replace(stats, rejected=stats.rejected + 1)
                return False
            feed = state.feeds[message.feed] = _Feed(deque(maxlen=self._capacity))
        state.failure = None
        state.last_message = time.monotonic()
        new_session = feed.session != message.session
        if new_session:
            feed.session, feed.next_sequence, feed.ended = message.session, None, False
        is_frame = isinstance(message, FrameMessage)
        reached = message.sequence if isinstance(message, FrameMessage) else message.next_sequence
        lost = 0 if feed.next_sequence is None else max(0, reached - feed.next_sequence)
        feed.next_sequence = reached + is_frame
        state.stats = replace(
            stats,
            received=stats.received + is_frame,
            lost=stats.lost + lost,
            skipped=stats.skipped + (is_frame and len(feed.mailbox) == self._capacity),
            sessions=stats.sessions + new_session,
            received_bytes=stats.received_bytes + size,
        )
        if isinstance(message, FrameMessage):
            feed.ended = False
            feed.mailbox.append((next(self._arrivals), message))
        elif isinstance(message, StatusMessage):
            feed.status = message
            feed.ended = message.state == "ended"
        else:
            feed.ended = True
        return True
