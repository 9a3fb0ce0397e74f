"""``dptstream ctl``: steer a running server."""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from ..wire.requests import Argument

_DEFAULT = "tcp://127.0.0.1:5578"
_HOST_AND_PORT = re.compile(r".+:\d+")
_ORDERS = "status|feeds|pause|resume|seek|loop|model|size|temporal|quit"


@dataclass(frozen=True)
class Ctl:
    """Ask a running `dptstream serve`, or tell it what to do.

    status, feeds: how it goes. pause, resume. seek SECONDS (90, or 1:30): jump to a moment of a file. loop on|off.
    model NAME, or a file that the server was started to --offer. size PIXELS|auto. temporal
    off|minimal|light|default|strong. quit. What another network or smoothing changes begins a new session of each feed.
    """

    words: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar=f"[tcp://HOST:PORT] {_ORDERS} [VALUE]")
    ]
    """The server's control address (tcp://127.0.0.1:5578 where none is given), what to do, and its value."""
    feed: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """For pause, resume, seek and loop: this feed alone."""
    curve: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder with this client's keys, as `dptstream keys` makes it; for servers with keys."""
    timeout: float | None = None
    """Seconds to wait for an answer; the default is 5, but 300 for model, which may have to be loaded."""
    json: bool = False
    """Print the answer as one line of JSON."""

    def run(self) -> int:
        """Ask, print the answer; exit code 0."""
        from ..wire.control import ControlClient
        from ..wire.keys import load_client_keys

        endpoint, order = _parse(self.words, self.feed)
        keys = None if self.curve is None else load_client_keys(self.curve)
        timeout = (300.0 if order.operation == "model" else 5.0) if self.timeout is None else self.timeout
        answer = ControlClient(endpoint, keys=keys, timeout=timeout).request(order.operation, **order.arguments)
        print(json.dumps(answer, indent=None if self.json else 2))
        return 0


@dataclass(frozen=True, slots=True)
class _Order:
    """A request in the making."""

    operation: str
    arguments: "dict[str, Argument]" = field(default_factory=dict)


def _parse(words: tuple[str, ...], feed: str | None) -> tuple[str, _Order]:
    """Return the address and the request; raises ValueError saying what can be written."""
    endpoint, rest = (words[0], words[1:]) if words and "://" in words[0] else (_DEFAULT, words)
    if rest and _HOST_AND_PORT.fullmatch(rest[0]):
        raise ValueError(f"write the server's address as tcp://{rest[0]}")
    if not rest:
        raise ValueError(f"say what to do: {_ORDERS.replace('|', ', ')}")
    verb, *values = rest
    order = _order(verb, values)
    if feed is not None:
        if order.operation not in ("pause", "seek", "loop"):
            raise ValueError(f"{verb} is for all feeds: leave --feed out")
        order.arguments["feed"] = feed
    return endpoint, order


def _order(verb: str, values: list[str]) -> _Order:
    if verb in ("status", "feeds", "quit", "pause", "resume"):
        if values:
            raise ValueError(f"{verb} takes no value; got {values[0]!r}")
        paused: dict[str, Argument] = {"paused": verb == "pause"}
        return _Order("pause", paused) if verb in ("pause", "resume") else _Order(verb)
    forms = {
        "seek": "seek SECONDS (90, or 1:30)",
        "loop": "loop on|off",
        "model": "model NAME",
        "size": "size PIXELS|auto",
    }
    forms["temporal"] = "temporal off|minimal|light|default|strong"
    if verb not in forms:
        raise ValueError(f"unknown order {verb!r}; there are: {_ORDERS.replace('|', ', ')}")
    if len(values) != 1:
        raise ValueError(f"write: dptstream ctl {forms[verb]}")
    return _with_value(verb, values[0], forms[verb])


def _seconds(text: str) -> float:
    """Return the seconds of 90, 1:30 or 1:00:00; raises ValueError."""
    parts = text.split(":")
    if len(parts) > 3 or not all(math.isfinite(float(part)) and not part.startswith("-") for part in parts):
        raise ValueError(text)
    return sum(float(part) * 60.0**power for power, part in enumerate(reversed(parts)))


def _with_value(verb: str, value: str, form: str) -> _Order:
    try:
        if verb == "seek":
            return _Order("seek", {"seconds": _seconds(value)})
        if verb == "size":
            return _Order("size", {"pixels": None if value == "auto" else int(value)})
        if verb == "loop":
            return _Order("loop", {"enabled": {"on": True, "off": False}[value]})
    except (ValueError, KeyError):
        raise ValueError(f"cannot read {value!r}; write: dptstream ctl {form}") from None
    return _Order(verb, {"name" if verb == "model" else "preset": value})
