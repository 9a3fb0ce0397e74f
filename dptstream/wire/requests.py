"""What may be asked of a running server, and the bytes of asking and answering. Opens no socket."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import WireError, WireVersionError
from .fields import Fields, parse_json
from .messages import MAX_SEQUENCE, MAX_TEXT
from .packing import WIRE_VERSION, Part

MAX_BYTES = 65_536
"""Longest request or reply."""
MAX_SIDE = 16_384
"""Largest size that may be asked for, pixels."""

Argument = str | float | bool | None
_Reader = Callable[[Fields, str], Argument]


def _text(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if not (0 < len(text) <= MAX_TEXT and text.isprintable()):
        raise WireError(f"request: {name!r} must be printable, of 1 to {MAX_TEXT} characters")
    return text


def _feed(fields: Fields, name: str) -> str | None:
    return None if name not in fields.names or fields.is_null(name) else _text(fields, name)


def _seconds(fields: Fields, name: str) -> float:
    seconds = fields.number(name)
    if seconds < 0:
        raise WireError(f"request: {name!r} must be at least 0; got {seconds:g}")
    return seconds


def _pixels(fields: Fields, name: str) -> int | None:
    return None if fields.is_null(name) else fields.integer(name, 1, MAX_SIDE)


OPERATIONS: dict[str, dict[str, _Reader]] = {
    "status": {},
    "feeds": {},
    "pause": {"feed": _feed, "paused": Fields.flag},
    "seek": {"feed": _feed, "seconds": _seconds},
    "loop": {"feed": _feed, "enabled": Fields.flag},
    "model": {"name": _text},
    "size": {"pixels": _pixels},
    "temporal": {"preset": _text},
    "quit": {},
}
"""Every operation, its arguments and how each is read. ``feed`` may be left out: it then means all feeds."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    operation: str
    """One of ``OPERATIONS``."""
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    """Its arguments by name, checked."""


def pack_request(request: Request) -> bytes:
    """Return the bytes of ``request``; raises WireError where its operation or arguments do not exist."""
    fields = {"v": WIRE_VERSION, "op": request.operation, **request.arguments}
    data = json.dumps(fields, separators=(",", ":")).encode("ascii")
    unpack_request(data)
    return data


def unpack_request(data: Part) -> Request:
    """Return the request in ``data``; raises WireError saying what is allowed."""
    fields = _versioned(data, "request")
    operation = fields.text("op")
    if operation not in OPERATIONS:
        raise WireError(f"there is no operation {ascii(operation)[:40]}; there are {', '.join(OPERATIONS)}")
    readers = OPERATIONS[operation]
    unknown = sorted(fields.names - {"v", "op"} - set(readers))
    if unknown:
        raise WireError(
            f"{operation} has no argument {ascii(unknown[0])[:40]}; it has {', '.join(readers) or 'none at all'}"
        )
    return Request(operation, {name: read(fields, name) for name, read in readers.items()})


def pack_reply(result: Mapping[str, object] | WireError) -> bytes:
    """Return the bytes of an answer, or of a refusal; an answer that JSON cannot hold becomes a refusal."""
    if isinstance(result, WireError):
        return json.dumps({"v": WIRE_VERSION, "ok": False, "error": str(result)[:1000]}).encode("ascii")
    try:
        data = json.dumps({"v": WIRE_VERSION, "ok": True, "result": dict(result)}, allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        return pack_reply(WireError(f"the answer cannot be sent: {error}"))
    if len(data) > MAX_BYTES:
        return pack_reply(WireError(f"the answer is too long to be sent: {len(data)} bytes"))
    return data


def unpack_reply(data: Part) -> dict[str, object]:
    """Return the answer in ``data``; raises WireError with the server's own words where it refused."""
    fields = _versioned(data, "reply")
    if not fields.flag("ok"):
        refusal = fields.text("error")
        raise WireError("".join(letter if letter.isprintable() else "?" for letter in refusal))
    return fields.child("result").as_dict()


def _versioned(data: Part, what: str) -> Fields:
    fields = parse_json(data, what, limit=MAX_BYTES)
    version = fields.integer("v", 0, MAX_SEQUENCE)
    if version != WIRE_VERSION:
        raise WireVersionError(f"{what} of version {version}; this side speaks version {WIRE_VERSION}")
    return fields
