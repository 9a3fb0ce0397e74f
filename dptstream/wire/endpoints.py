"""Addresses of sockets: which of them leave this machine, and how a socket is set up for them. Needs pyzmq."""

import errno
import ipaddress
import logging
import socket as sockets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq

from ..errors import WireError
from .keys import ClientKeys, ServerKeys
from .packing import Part

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5577"
"""Where a feed is found unless said otherwise."""
DEFAULT_CONTROL_ENDPOINT = "tcp://127.0.0.1:5578"
"""Where a server takes requests unless said otherwise."""

HEARTBEAT_MS = 1000
"""A silent peer is asked so often whether it lives."""
HEARTBEAT_TIMEOUT_MS = 3000
"""A peer that is silent for so long is gone; TCP alone may take minutes to notice a cut cable."""

Socket = zmq.Socket[bytes]
Context = zmq.Context[zmq.Socket[bytes]]

_LOG = logging.getLogger(__name__)


def is_local(endpoint: str) -> bool:
    """Return whether only this machine can reach a socket bound to ``endpoint``; raises ValueError for nonsense."""
    transport, separator, address = endpoint.partition("://")
    if not separator or not address or transport not in ("tcp", "ipc", "inproc"):
        raise ValueError(f"an endpoint is tcp://HOST:PORT or ipc://PATH; got {endpoint!r}")
    if transport != "tcp":
        return True
    host, colon, port = address.rpartition(":")
    if not colon or not (port == "*" or (port.isdecimal() and int(port) < 65536)):
        raise ValueError(f"an endpoint is tcp://HOST:PORT with a port below 65536; got {endpoint!r}")
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False  # a name, a network card or *


def check_exposure(endpoint: str, keys: ServerKeys | None, *, insecure: bool) -> None:
    """Refuse to serve beyond this machine without keys, unless ``insecure``, which is logged; raises ValueError."""
    if keys is not None or is_local(endpoint):
        return
    if not insecure:
        raise ValueError(
            f"{endpoint} can be reached from other machines, and without keys anybody may connect: "
            "make keys with `dptstream keys DIR` and give them, or say insecure"
        )
    _LOG.warning("%s is open: anybody who can reach this machine may connect, and nothing is encrypted", endpoint)


def prepare_server(socket: Socket, keys: ServerKeys | None, linger_ms: int) -> None:
    """Set what a socket that binds needs before it binds."""
    _prepare(socket, linger_ms)
    if keys is not None:
        socket.curve_server = True
        socket.curve_secretkey = keys.secret
        socket.zap_domain = b"dptstream"


def prepare_client(socket: Socket, keys: ClientKeys | None) -> None:
    """Set what a socket that connects needs before it connects."""
    _prepare(socket, linger_ms=0)
    socket.reconnect_ivl = 100
    socket.reconnect_ivl_max = 1000
    socket.connect_timeout = 2000
    if keys is not None:
        socket.curve_publickey = keys.public
        socket.curve_secretkey = keys.secret
        socket.curve_serverkey = keys.server


def _prepare(socket: Socket, linger_ms: int) -> None:
    socket.linger = linger_ms
    socket.heartbeat_ivl = HEARTBEAT_MS
    socket.heartbeat_timeout = HEARTBEAT_TIMEOUT_MS


def bind(socket: Socket, endpoint: str) -> str:
    """Bind ``socket`` and return the endpoint with its true port; raises WireError."""
    path = _path_of(endpoint)
    if path is not None:
        _check_free(path, endpoint)
    socket.ipv6 = "[" in endpoint  # else IPv4 addresses would be told as IPv6 ones
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise WireError(f"cannot serve at {endpoint}: {_bind_failure(error)}") from None
    bound: Any = socket.last_endpoint
    return bytes(bound).rstrip(b"\0").decode()


def remove_socket_file(endpoint: str) -> None:
    """Remove what a socket that was bound to ``ipc://PATH`` leaves behind."""
    path = _path_of(endpoint)
    if path is not None:
        path.unlink(missing_ok=True)


def _path_of(endpoint: str) -> Path | None:
    transport, _, address = endpoint.partition("://")
    return Path(address) if transport == "ipc" and address != "*" and not address.startswith("@") else None


def _check_free(path: Path, endpoint: str) -> None:
    """Refuse a path that holds something: ZeroMQ would remove it without asking, be it a film or a running server."""
    try:
        found = path.stat()
    except OSError:
        return
    # Windows tells its sockets as empty files.
    if path.is_dir() or (found.st_size and not stat.S_ISSOCK(found.st_mode)):
        raise WireError(f"cannot serve at {endpoint}: there is a file or folder; choose another path")
    if _answers(path):
        raise WireError(f"cannot serve at {endpoint}: something else does already; choose another path")


def _answers(path: Path) -> bool:
    family = getattr(sockets, "AF_UNIX", None)
    if family is None:
        return False
    with sockets.socket(family) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _bind_failure(error: zmq.ZMQError) -> str:
    words = {
        zmq.EADDRINUSE: "something else does already; choose another port",
        zmq.EADDRNOTAVAIL: "this machine has no such address; tcp://0.0.0.0:PORT is all it has",
        errno.ENODEV: "this machine has no such address; tcp://0.0.0.0:PORT is all it has",
        errno.ENOENT: "there is no such folder",
        errno.ENAMETOOLONG: "the path is too long for a socket",
    }
    return words.get(error.errno or 0, zmq.strerror(error.errno or 0))


def connect(socket: Socket, endpoint: str) -> None:
    """Connect ``socket``, which then keeps trying by itself; raises ValueError for an endpoint that cannot be."""
    is_local(endpoint)
    socket.ipv6 = "[" in endpoint
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise ValueError(f"cannot connect to {endpoint}: {zmq.strerror(error.errno or 0)}") from None


def read_parts(socket: Socket, max_parts: int) -> list[Part]:
    """Read one whole message without copying; of one with too many parts, just one too many."""
    parts: list[Part] = []
    more = True
    while more:
        part = socket.recv(copy=False)
        more = part.more
        if len(parts) <= max_parts:
            parts.append(part.buffer)
    return parts
