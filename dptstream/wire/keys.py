"""Key files of CURVE, ZeroMQ's encryption: who may serve, who may listen. Opens no socket.

``make_keys("keys", ["laptop"])`` lays down::

    keys/server.key_secret      for the serving machine alone; readable by its owner alone
    keys/server.key             public
    keys/clients/laptop.key     public; the files of this folder are the list of who may connect
    keys/laptop/                all that the consumer needs: carry this folder there, over a safe way
        client.key_secret
        server.key

A file holds one key as 40 characters of Z85 (ZeroMQ RFC 32) in its last line; lines that begin with # are comments.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import WireError
from .messages import feed_name

KEY_LENGTH = 40
"""Characters of a key in Z85."""

_Z85 = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
_MAX_FILE = 4096
_SERVER, _CLIENT, _CLIENTS = "server", "client", "clients"


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a publisher or control server needs."""

    public: bytes
    """The server's public key."""
    secret: bytes = field(repr=False)
    """The server's secret key."""
    clients: Path
    """Folder of ``NAME.key`` files, the public keys of those who may connect; read anew at each connection."""

    def allowed(self) -> dict[bytes, str]:
        """Return the keys that may connect, and their names; a damaged file is passed over."""
        keys: dict[bytes, str] = {}
        for path in sorted(self.clients.glob("*.key")):
            try:
                keys[_read_key(path)] = path.stem
            except WireError:
                continue  # one bad file must not lock everybody else out
        return keys


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a subscriber or control client needs."""

    public: bytes
    """The client's public key."""
    secret: bytes = field(repr=False)
    """The client's secret key."""
    server: bytes
    """The server's public key: proof that it is the right one."""


def make_keys(folder: Path, clients: Sequence[str] = (_CLIENT,)) -> list[Path]:
    """Make a server's keys where there are none, and those of clients; return the files written.

    Keys that exist are never replaced: that would lock out who holds them.

    Raises:
        WireError: A client's keys exist already, or a file cannot be written.
        ValueError: A client's name is not fit for a file.
    """
    clients = list(dict.fromkeys(clients))
    for name in clients:
        if name != feed_name(name) or name == _CLIENTS:
            raise ValueError(
                f"a client's name holds letters, digits, '.', '_', '-', and is not 'clients'; got {name!r}"
            )
    written: list[Path] = []
    try:
        (folder / _CLIENTS).mkdir(parents=True, exist_ok=True)
        if not (folder / "server.key_secret").exists():
            _write_pair(folder / _SERVER, written)
        server = _read_key(folder / "server.key")
        for name in clients:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            _write_pair(folder / name / _CLIENT, written, publish_as=folder / _CLIENTS / f"{name}.key")
            _write(folder / name / "server.key", server, "public key of the server", written)
    except FileExistsError as error:
        raise WireError(f"{error.filename} exists already; remove it first, or choose another name") from None
    except OSError as error:
        raise WireError(f"cannot write keys to {folder}: {error.strerror}") from None
    return written


def load_server_keys(folder: Path) -> ServerKeys:
    """Read the keys of a server; raises WireError where they are missing, damaged or readable by others."""
    if (folder / "client.key_secret").exists():
        raise WireError(
            f"{folder} holds the keys of a client; a server takes the folder in which `dptstream keys` made it"
        )
    secret = _read_secret(folder / "server.key_secret")
    return ServerKeys(_public_of(secret), secret, folder / _CLIENTS)


def load_client_keys(folder: Path) -> ClientKeys:
    """Read the keys of a client; raises WireError where they are missing, damaged or readable by others."""
    if (folder / "server.key_secret").exists():
        raise WireError(
            f"{folder} holds the keys of the server; a client takes a folder within, such as {folder / _CLIENT}"
        )
    secret = _read_secret(folder / "client.key_secret")
    return ClientKeys(_public_of(secret), secret, _read_key(folder / "server.key"))


def _write_pair(stem: Path, written: list[Path], *, publish_as: Path | None = None) -> None:
    import zmq

    public, secret = zmq.curve_keypair()
    # The secret first: its O_EXCL is what keeps an existing pair from being half replaced.
    _write(stem.with_name(f"{stem.name}.key_secret"), secret, "secret key: show it to nobody", written, mode=0o600)
    _write(publish_as or stem.with_name(f"{stem.name}.key"), public, "public key", written)


def _write(path: Path, key: bytes, comment: str, written: list[Path], *, mode: int = 0o644) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"# dptstream {comment}\n{key.decode('ascii')}\n")
    written.append(path)


def _read_secret(path: Path) -> bytes:
    key = _read_key(path)
    # Windows keeps such rights elsewhere; there a user's folder is private by default.
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise WireError(f"{path} can be read by others; run: chmod 600 {path}")
    return key


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE)
    except FileNotFoundError:
        raise WireError(f"no key file {path}; `dptstream keys DIR` makes keys") from None
    except OSError as error:
        raise WireError(f"cannot read the key file {path}: {error.strerror}") from None
    lines = [line.strip() for line in content.decode("ascii", "replace").splitlines()]
    keys = [line for line in lines if len(line) == KEY_LENGTH and set(line) <= _Z85]
    if len(keys) != 1:
        raise WireError(f"{path} is not a key file: it must hold one key of {KEY_LENGTH} characters")
    return keys[0].encode("ascii")


def _public_of(secret: bytes) -> bytes:
    import zmq

    return zmq.curve_public(secret)
