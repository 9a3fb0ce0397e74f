"""A subscribing socket that always finds its way back. Needs pyzmq; used by one thread at a time.

ZeroMQ reconnects by itself after a peer went away, but not after one broke the protocol, sent a part larger than
allowed, or refused the key: then the socket would stay deaf for ever, even to an honest sender that comes later.
"""

import logging
import time
from contextlib import suppress

import zmq
from zmq.utils.monitor import recv_monitor_message

from .endpoints import Context, connect, prepare_client, read_parts
from .keys import ClientKeys
from .packing import Part

RECONNECT_SECONDS = 0.5
"""How long ZeroMQ has to come back by itself."""

_LOG = logging.getLogger(__name__)
_LOST = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_TRYING = zmq.EVENT_CONNECTED | zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED


class Connection:
    """A SUB socket, connected to one address.

    Args:
        endpoint: The address.
        topic: Prefix of the topics wanted.
        keys: The client's keys, for a sender with keys.
        high_water_mark: Messages kept until they are read.
        max_part_bytes: Larger parts are not read: the connection is given up, and made anew.

    Raises:
        ValueError: ``endpoint`` cannot be an address.
    """

    def __init__(
        self, endpoint: str, topic: bytes, keys: ClientKeys | None, *, high_water_mark: int, max_part_bytes: int
    ) -> None:
        self._endpoint = endpoint
        self._context: Context = zmq.Context()
        self._lost_at: float | None = None
        self._refusal_logged = False
        try:
            self._socket = self._context.socket(zmq.SUB)
            prepare_client(self._socket, keys)
            self._socket.rcvhwm = high_water_mark
            self._socket.maxmsgsize = max_part_bytes
            self._socket.subscribe(topic)
            self._monitor = self._socket.get_monitor_socket(_LOST | _REFUSED | _TRYING)
            connect(self._socket, endpoint)
        except BaseException:
            self.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def poll(self, timeout_ms: int) -> bool:
        """Wait for a message; return whether there is one."""
        ready = dict(self._poller.poll(timeout_ms))
        if self._monitor in ready:
            self._watch()
        if self._lost_at is not None and time.monotonic() - self._lost_at > RECONNECT_SECONDS:
            self._lost_at = None
            with suppress(zmq.ZMQError):  # ZeroMQ may have forgotten the address with the connection
                self._socket.disconnect(self._endpoint)
            connect(self._socket, self._endpoint)
        return self._socket in ready

    def read(self, max_parts: int) -> list[Part]:
        """Read one whole message without copying; of one with too many parts, just one too many."""
        return read_parts(self._socket, max_parts)

    def close(self) -> None:
        """Let go of everything at once."""
        self._context.destroy(linger=0)

    def _watch(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event & _TRYING:
                self._lost_at = None
            else:
                self._lost_at = time.monotonic()
            if event & _REFUSED and not self._refusal_logged:
                self._refusal_logged = True
                _LOG.warning("%s refuses this client's key: ask its owner to put it on the list", self._endpoint)
