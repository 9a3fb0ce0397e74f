"""Steering a running server: requests come in, each is answered or refused with a reason. Needs pyzmq."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

import zmq

from ..errors import DptStreamError, WireError, describe
from .endpoints import (
    DEFAULT_CONTROL_ENDPOINT,
    Context,
    Socket,
    bind,
    check_exposure,
    connect,
    prepare_client,
    prepare_server,
    read_parts,
    remove_socket_file,
)
from .gatekeeper import Gatekeeper
from .keys import ClientKeys, ServerKeys
from .requests import MAX_BYTES, Argument, Request, pack_reply, pack_request, unpack_reply, unpack_request

MAX_TIMEOUT_SECONDS = 1_000_000
"""What may be waited for an answer, about: ZeroMQ counts milliseconds in 32 bits."""

_POLL_MS = 50
_LINGER_MS = 200
_LOG = logging.getLogger(__name__)

Answer = Mapping[str, object] | None


class ControlHandler(Protocol):
    """Does what is asked. Called from the server's thread, one request at a time; arguments are checked for type.

    A method refuses by raising ValueError or a DptStreamError, whose text the client gets. What it returns must fit
    into JSON; None is an empty answer. ``feed`` None means all feeds.
    """

    def status(self) -> Answer:
        """Return how the run goes."""

    def feeds(self) -> Answer:
        """Return the feeds and what is known of them."""

    def pause(self, *, feed: str | None, paused: bool) -> Answer:
        """Pause or go on."""

    def seek(self, *, feed: str | None, seconds: float) -> Answer:
        """Jump to so many seconds, at least 0, after the first frame of the clip."""

    def loop(self, *, feed: str | None, enabled: bool) -> Answer:
        """Start anew at the end, or do not."""

    def model(self, *, name: str) -> Answer:
        """Change the network."""

    def size(self, *, pixels: int | None) -> Answer:
        """Change the size the network works in; None is the family's own."""

    def temporal(self, *, preset: str) -> Answer:
        """Change how depth is steadied over time."""

    def quit(self) -> Answer:
        """End the run, after the answer is on its way."""


class ControlServer:
    """Answers requests at one address, in a thread of its own.

    Args:
        handler: Does what is asked.
        endpoint: Where to listen.
        keys: Encrypt, and let in those on the list alone.
        insecure: Let other machines steer without keys.

    Raises:
        ValueError: Other machines could connect, and there are neither keys nor ``insecure``.
    """

    def __init__(
        self,
        handler: ControlHandler,
        endpoint: str = DEFAULT_CONTROL_ENDPOINT,
        *,
        keys: ServerKeys | None = None,
        insecure: bool = False,
    ) -> None:
        check_exposure(endpoint, keys, insecure=insecure)
        self._handler = handler
        self._endpoint = endpoint
        self._keys = keys
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """The address, with the true port once it is open."""
        return self._endpoint

    def start(self) -> Self:
        """Open the address; raises WireError when that is not possible."""
        with ExitStack() as exits:
            context: Context = zmq.Context()
            exits.callback(context.term)
            gatekeeper = None if self._keys is None else exits.enter_context(Gatekeeper(context, self._keys))
            socket = context.socket(zmq.REP)
            exits.callback(socket.close)
            if gatekeeper is not None:
                gatekeeper.watch(socket)
            prepare_server(socket, self._keys, _LINGER_MS)
            socket.maxmsgsize = MAX_BYTES
            self._endpoint = bind(socket, self._endpoint)
            exits.callback(remove_socket_file, self._endpoint)
            self._thread = threading.Thread(
                target=self._serve, args=(socket, exits.pop_all()), name="dptstream-control", daemon=True
            )
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

    def close(self) -> None:
        """Close the address after the request in hand; may be called twice, and by the handler itself."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self, socket: Socket, exits: ExitStack) -> None:
        with exits:
            while not self._stopping.is_set():
                if socket.poll(_POLL_MS):
                    socket.send(self._answer(read_parts(socket, 1)))

    def _answer(self, parts: list[bytes | memoryview]) -> bytes:
        try:
            if len(parts) != 1:
                raise WireError("a request has one part")  # noqa: TRY301 - refused as any other fault
            request = unpack_request(parts[0])
            perform: Callable[..., Answer] = getattr(self._handler, request.operation)
            return pack_reply(perform(**request.arguments) or {})
        except WireError as error:
            return pack_reply(error)
        except (DptStreamError, ValueError) as error:
            return pack_reply(WireError(" ".join(str(error).split())))
        except Exception as error:  # noqa: BLE001 - the next request must be answered whatever this one raised
            _LOG.exception("a request failed")
            return pack_reply(WireError(f"the server failed: {describe(error)}"))


class ControlClient:
    """Asks a server. Each request has a connection of its own, so none is held up by one that got no answer.

    Args:
        endpoint: Address of the server's control channel.
        keys: The client's keys, for a server with keys.
        timeout: Seconds to wait for an answer; > 0.
    """

    def __init__(
        self, endpoint: str = DEFAULT_CONTROL_ENDPOINT, *, keys: ClientKeys | None = None, timeout: float = 5.0
    ) -> None:
        if not 0 < timeout < MAX_TIMEOUT_SECONDS:
            raise ValueError(f"a timeout is more than 0 and less than {MAX_TIMEOUT_SECONDS} seconds; got {timeout:g}")
        self._endpoint = endpoint
        self._keys = keys
        self._timeout = timeout

    def request(self, operation: str, **arguments: Argument) -> dict[str, object]:
        """Ask for ``operation`` and return the answer.

        Raises:
            WireError: There is no such operation or argument, the server refuses (in its own words), or nobody answers.
        """
        data = pack_request(Request(operation, arguments))
        context: Any = zmq.Context()
        try:
            socket: Socket = context.socket(zmq.REQ)
            prepare_client(socket, self._keys)
            socket.maxmsgsize = MAX_BYTES
            connect(socket, self._endpoint)
            socket.send(data)
            if not socket.poll(round(self._timeout * 1000)):
                raise WireError(
                    f"no answer from {self._endpoint} in {self._timeout:g} s; is dptstream serving there, not busy with "
                    "another request, and is this client's key on its list?"
                )
            return unpack_reply(read_parts(socket, 1)[0])
        finally:
            context.destroy(linger=0)
