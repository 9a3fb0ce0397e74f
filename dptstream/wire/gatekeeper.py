"""Lets in those whose key is on the list, and logs the others (ZeroMQ RFC 27, ZAP). Needs pyzmq."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

import zmq
from zmq.utils import z85

from .endpoints import Context, Socket
from .keys import ServerKeys

_LOG = logging.getLogger(__name__)
_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_FAILURES_ENDPOINT = "inproc://dptstream-failures"
_POLL_MS = 50
_LOG_AGAIN_SECONDS = 10.0
_MAX_REMEMBERED = 1000


class Gatekeeper:
    """A thread that answers for each new connection of one context whether it may come in.

    Attributes:
        denied: How many connections were refused.
    """

    def __init__(self, context: Context, keys: ServerKeys) -> None:
        self.denied = 0
        self._keys = keys
        self._stopping = threading.Event()
        self._logged: dict[str, float] = {}
        # Bound here, not in the thread: a connection that comes before the handler exists is let in unasked.
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ZAP_ENDPOINT)
        self._context = context
        self._failures: Socket | None = None
        self._thread = threading.Thread(target=self._serve, name="dptstream-gatekeeper", daemon=True)

    def watch(self, socket: Socket) -> None:
        """Also tell of those who come to ``socket`` without a key, or with one for another server: nobody asks for them."""
        socket.monitor(_FAILURES_ENDPOINT, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
        failures = self._context.socket(zmq.PAIR)
        failures.linger = 0
        failures.connect(_FAILURES_ENDPOINT)
        self._failures = failures

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop answering; nobody new comes in."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        if self._failures is not None:
            self._failures.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            if self._socket.poll(_POLL_MS):
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
            while self._failures is not None and self._failures.poll(0):
                self._failures.recv_multipart()
                self.denied += 1
                self._log("", "a connection: it came without a key, or with the key of another server")

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """Return the reply to a request: version, id, domain, address, identity, mechanism, credentials."""
        if len(request) < 6 or request[0] != b"1.0":
            return [b"1.0", request[1] if len(request) > 1 else b"", b"500", b"not a ZAP request", b"", b""]
        identifier, address, mechanism = request[1], request[3].decode("ascii", "replace"), request[5]
        key = z85.encode(request[6]) if mechanism == b"CURVE" and len(request) == 7 else b""
        name = self._keys.allowed().get(key)
        if name is None:
            self.denied += 1
            shown = key.decode() or mechanism.decode("ascii", "replace")
            self._log(f"{address} {shown}", f"a connection from {address}: its key {shown} is not on the list")
            return [b"1.0", identifier, b"400", b"unknown key", b"", b""]
        _LOG.info("%s connected from %s", name, address)
        return [b"1.0", identifier, b"200", b"", name.encode(), b""]

    def _log(self, whom: str, words: str) -> None:
        now = time.monotonic()
        # A client that is refused tries again and again: one line each ten seconds will do.
        if now - self._logged.get(whom, -_LOG_AGAIN_SECONDS) < _LOG_AGAIN_SECONDS:
            return
        if len(self._logged) >= _MAX_REMEMBERED:
            self._logged.clear()
        self._logged[whom] = now
        _LOG.warning("refused %s", words)
