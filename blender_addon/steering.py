"""The one server that was started here, and orders on their way to whichever server is connected."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from .control import Asking, Question
from .server import Order, Server, control_endpoint


@dataclass(slots=True)
class _State:
    server: Server | None = None
    asking: Asking | None = None


_state = _State()


def start_server(order: Order) -> None:
    """Start a server, in place of one that ended; raises OSError where there is no such Python."""
    stop_server()
    _state.server = Server(order.command())


def stop_server() -> None:
    """End the server; harmless where there is none."""
    if _state.server is not None:
        _state.server.stop()


def server_runs() -> bool:
    """Return whether a server that was started here still runs."""
    return _state.server is not None and _state.server.running


def log(count: int = 400) -> list[str]:
    """Return the last lines of the server's log."""
    return [] if _state.server is None else _state.server.log(count)


def server_problem() -> str:
    """Return why the server ended by itself, in its own last words; empty where it runs or was stopped."""
    server = _state.server
    if server is None or not server.exit_code or server.exit_code < 0:
        return ""
    words = [line for line in server.log() if line.strip()]
    return f"the server ended: {words[-1] if words else f'exit code {server.exit_code}'}"


def steer(settings: Any) -> None:
    """Ask the connected server for the model, size and smoothing of ``settings``.

    Raises:
        DptStreamError: The keys are missing or wrong.
    """
    questions = [Question("model", {"name": settings.model})] if settings.model else []
    questions.append(Question("size", {"pixels": settings.size or None}))
    questions.append(Question("temporal", {"preset": settings.smoothing}))
    keys = Path(bpy.path.abspath(settings.keys)) if settings.keys else None
    _state.asking = Asking(settings.control or control_endpoint(settings.endpoint), questions, keys)


def busy() -> bool:
    """Return whether the server still owes an answer."""
    return _state.asking is not None and _state.asking.busy


def problem() -> str:
    """Return what the server refused at the last order; empty where it did as told."""
    return "" if _state.asking is None else _state.asking.problem


def register() -> None:
    """Nothing is to be registered: servers are started by hand."""


def unregister() -> None:
    """End the server, which nobody would be left to end."""
    stop_server()
    _state.server = _state.asking = None
