"""Sends messages to whoever listens. Needs pyzmq; knows nothing of depth, models or video."""

import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import zmq

from .endpoints import DEFAULT_ENDPOINT, Context, Socket, bind, check_exposure, prepare_server, remove_socket_file
from .gatekeeper import Gatekeeper
from .keys import ServerKeys
from .messages import EndMessage, FeedState, FrameMessage, Message, StatusMessage, printable
from .packing import Compression, pack

HIGH_WATER_MARK = 8
"""Messages kept for each subscriber that does not keep up; further ones are dropped for that subscriber alone."""
STATUS_SECONDS = 1.0
"""How often each feed gives a sign of life."""
STALL_SECONDS = 2.0
"""A feed without frames for so long, and for three times as long as its last frame took, is reported as waiting."""
_SLOWEST_STEP_SECONDS = 10.0
LINGER_MS = 500
"""How long ``close`` waits for the last messages to leave."""

_POLL_SECONDS = 0.05
_MAX_INCOMING = 1024
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Feed:
    """What the sign of life of a feed is made of."""

    session: str
    state: FeedState
    next_sequence: int = 0
    note: str = ""
    sent: int = 0
    """Frames since the rate was last taken."""
    rate: float = 0.0
    """Frames per second, over the last second."""
    last_frame: float = 0.0
    """When the last one was sent, ``time.monotonic()``."""
    step: float = 0.0
    """Seconds between the last two; a slow network is not a source that is away."""


class Publisher:
    """Publishes any number of feeds at one address. Nobody who listens can slow it down.

    ``send`` may be called from any thread. A subscriber that falls behind loses frames, whole ones, and sees it in
    their numbers.

    Args:
        endpoint: Where to serve: ``tcp://HOST:PORT`` (port ``*`` takes a free one) or ``ipc://PATH``.
        keys: Encrypt, and let in those on the list alone.
        insecure: Serve other machines without keys.

    Raises:
        ValueError: Other machines could connect, and there are neither keys nor ``insecure``.
    """

    def __init__(
        self, endpoint: str = DEFAULT_ENDPOINT, *, keys: ServerKeys | None = None, insecure: bool = False
    ) -> None:
        check_exposure(endpoint, keys, insecure=insecure)
        self._endpoint = endpoint
        self._keys = keys
        self._feeds: dict[str, _Feed] = {}
        self._subscribers = 0
        self._lock = threading.Lock()  # a ZeroMQ socket may change threads, but only with a fence between
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: Socket | None = None
        self._gatekeeper: Gatekeeper | None = None
        self._exits = ExitStack()

    def start(self) -> Self:
        """Open the address, once; raises WireError when that is not possible."""
        if self._thread is not None:
            return self
        with ExitStack() as exits:
            context: Context = zmq.Context()
            exits.callback(context.term)
            if self._keys is not None:
                self._gatekeeper = exits.enter_context(Gatekeeper(context, self._keys))
            # XPUB is PUB that also tells who subscribes.
            socket = context.socket(zmq.XPUB)
            exits.callback(socket.close)
            prepare_server(socket, self._keys, LINGER_MS)
            if self._gatekeeper is not None:
                self._gatekeeper.watch(socket)
            socket.sndhwm = HIGH_WATER_MARK
            socket.maxmsgsize = _MAX_INCOMING
            socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            self._endpoint = bind(socket, self._endpoint)
            exits.callback(remove_socket_file, self._endpoint)
            self._socket = socket
            self._exits = exits.pop_all()
        self._thread = threading.Thread(target=self._give_signs_of_life, name="dptstream-status", daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        """Open the address."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def endpoint(self) -> str:
        """The address, with the true port once it is open."""
        return self._endpoint

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are just now."""
        with self._lock:
            self._take_subscriptions()
            return self._subscribers

    @property
    def denied(self) -> int:
        """How many connections were refused for their key."""
        return self._gatekeeper.denied if self._gatekeeper is not None else 0

    def announce(self, feed: str, session: str, state: FeedState = "waiting", note: str = "") -> None:
        """Report ``state`` in the feed's signs of life, from now until a frame or an end says otherwise."""
        with self._lock:
            known = self._feeds.get(feed)
            if known is None or known.session != session:
                known = self._feeds[feed] = _Feed(session, state)
            known.state, known.note = state, printable(note)
            self._send_status(feed)

    def send(self, message: FrameMessage | EndMessage, *, compression: Compression = "none") -> None:
        """Send to whoever listens just now; returns at once. Nothing happens after ``close``.

        Nobody may write to the message's arrays any more: they are sent from where they are.
        """
        parts = pack(message, compression=compression)
        with self._lock:
            feed = self._feeds.get(message.feed)
            if feed is None or feed.session != message.session:
                feed = self._feeds[message.feed] = _Feed(message.session, "playing")
            if isinstance(message, FrameMessage):
                feed.state, feed.next_sequence = "playing", message.sequence + 1
                feed.sent += 1
                now = time.monotonic()
                feed.step = min(now - feed.last_frame, _SLOWEST_STEP_SECONDS) if message.sequence else 0.0
                feed.last_frame = now
            else:
                feed.state, feed.next_sequence, feed.note = "ended", message.next_sequence, message.note
            self._take_subscriptions()
            if self._socket is not None:
                self._socket.send_multipart(parts, copy=False)

    def close(self) -> None:
        """Close the address, waiting at most half a second for the last messages to leave; may be called twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._socket = None
            self._exits.close()

    def _give_signs_of_life(self) -> None:
        last = time.monotonic()
        while not self._stopping.wait(_POLL_SECONDS):
            with self._lock:
                joined = self._take_subscriptions()
                elapsed = time.monotonic() - last
                due = elapsed >= STATUS_SECONDS
                if due:
                    last += elapsed
                    for feed in self._feeds.values():
                        feed.rate, feed.sent = feed.sent / elapsed, 0
                if due or joined:  # who joins learns at once what there is
                    for name in self._feeds:
                        self._send_status(name)

    def _send_status(self, name: str) -> None:
        if self._socket is None:
            return
        feed = self._feeds[name]
        patience = max(STALL_SECONDS, 3 * feed.step)
        stalled = feed.state == "playing" and time.monotonic() - feed.last_frame > patience
        status: Message = StatusMessage(
            feed=name,
            session=feed.session,
            published_unix_ns=time.time_ns(),
            state="waiting" if stalled else feed.state,
            next_sequence=feed.next_sequence,
            frames_per_second=feed.rate,
            subscribers=self._subscribers,
            note=feed.note,
        )
        self._socket.send_multipart(pack(status))

    def _take_subscriptions(self) -> bool:
        """Read who came and went; return whether somebody came. Needs the lock."""
        joined = False
        while self._socket is not None:
            try:
                event = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if event[:1] == b"\x01":
                self._subscribers += 1
                joined = True
            elif event[:1] == b"\x00":
                self._subscribers = max(0, self._subscribers - 1)
        return joined
