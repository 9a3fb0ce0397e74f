"""Live depth: one connection, and the timer on the main thread that writes its newest frame into the scene."""

import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .darkroom import Darkroom
from .jpeg import decode, forget
from .light import errors
from .pictures import Picture
from .receiver import Receiver, Report
from .scene import Unsaved, live_modifier, live_object, make_live_object, make_modifier, show, why_paused

TICK_SECONDS = 1 / 120
"""How often the mailbox is looked into; what a look costs without a frame is a few microseconds."""
REDRAW_SECONDS = 0.25
"""How often the panel shows new figures."""
_RATE_SECONDS = 2.0
_LARGEST_LATENCY_MS = 60_000.0
"""More, or less than none, says that the sender's clock is another, or that a recording plays."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Figures:
    """What the state line shows."""

    shown: deque[float] = field(default_factory=lambda: deque(maxlen=240))
    """When the last frames were shown, ``time.monotonic()``."""
    count: int = 0
    """How many were, since connecting."""
    latency_ms: float | None = None
    """From capture, or else from sending, until shown; smoothed. None where the sender's clock tells nonsense."""

    def add(self, picture: Picture) -> None:
        """Count a frame that was shown just now."""
        self.shown.append(time.monotonic())
        self.count += 1
        message = picture.message
        latency = (time.time_ns() - (message.captured_unix_ns or message.published_unix_ns)) / 1e6
        if not 0 <= latency < _LARGEST_LATENCY_MS:
            self.latency_ms = None
        else:
            self.latency_ms = latency if self.latency_ms is None else 0.9 * self.latency_ms + 0.1 * latency

    def rate(self) -> float:
        """Return frames per second over the last two seconds."""
        now = time.monotonic()
        return sum(1 for at in self.shown if now - at <= _RATE_SECONDS) / _RATE_SECONDS


@dataclass(slots=True)
class Connection:
    """What there is while connected."""

    receiver: Receiver
    """Listens."""
    scene_uid: int
    """The scene into which frames go, whichever one is being looked at."""
    darkroom: Darkroom = field(default_factory=Darkroom)
    """Makes colours of JPEGs."""
    figures: Figures = field(default_factory=Figures)
    """How it goes."""
    picture: Picture | None = None
    """The last frame shown."""
    redrawn: float = 0.0
    """When the panel was last drawn anew."""


@dataclass(slots=True)
class _State:
    connection: Connection | None = None
    problem: str = ""
    """Why there is no connection, or why frames are not shown; empty where nothing is wrong."""


_state = _State()
_unsaved = Unsaved()


def connect(scene: Any) -> None:
    """Connect to the address that ``scene`` names and show its depth there.

    Raises:
        DptStreamError: pyzmq or the keys are missing or wrong.
        ValueError: There can be no such address.
    """
    disconnect()
    settings = scene.dptstream
    keys = Path(bpy.path.abspath(settings.keys)) if settings.keys else None
    receiver = Receiver(settings.endpoint.strip(), settings.feed.strip(), keys)
    shown = live_object(scene)
    if shown is None:
        make_live_object(scene)
    elif live_modifier(shown) is None:
        make_modifier(shown)
    _state.connection = Connection(receiver, scene.session_uid)
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, persistent=True)


def disconnect(problem: str = "") -> None:
    """Stop listening; the last frame stays in view. May be called twice; ``problem`` says why to the user."""
    connection, _state.connection = _state.connection, None
    _state.problem = problem
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    if connection is not None:
        connection.receiver.close()
        connection.darkroom.close()
        forget()


def connection() -> Connection | None:
    """Return the connection, or None."""
    return _state.connection


def problem() -> str:
    """Return why there is no connection or no frame is shown; empty where nothing is wrong."""
    return _state.problem


def set_problem(text: str) -> None:
    """Tell the user why connecting failed."""
    _state.problem = text


def report() -> Report | None:
    """Return how listening goes, or None without a connection."""
    return None if _state.connection is None else _state.connection.receiver.report()


def tick() -> float | None:
    """Show the newest frame, if there is one; return the seconds until the next look, or None to end."""
    live = _state.connection
    if live is None:
        return None
    try:
        _show_newest(live)
    except Exception as error:  # noqa: BLE001 - a timer that raises is dropped by Blender without a word to the user
        _LOG.exception("live depth stopped")
        disconnect(f"live depth stopped: {errors.describe(error)}; connect again")
    if time.monotonic() - live.redrawn > REDRAW_SECONDS:
        live.redrawn = time.monotonic()
        redraw_panels()
    return TICK_SECONDS if _state.connection is not None else None


def redraw_panels() -> None:
    """Have the side panels of all 3D views drawn anew."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _show_newest(live: Connection) -> None:
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == live.scene_uid), None)
    shown = None if scene is None else live_object(scene)
    if shown is None:
        disconnect("the live object was deleted, undone or made an ordinary mesh; Connect makes a new one")
        return
    _state.problem = why_paused(shown)
    if _state.problem:
        return
    picture = _ready(live)
    if picture is not None:
        show(scene, shown, picture)
        live.picture = picture
        live.figures.add(picture)


def _ready(live: Connection) -> Picture | None:
    """Return the newest picture, if there is one; one with a JPEG is decoded here, and comes back some looks later."""
    if live.darkroom.busy:
        return live.darkroom.take()
    picture = live.receiver.take()
    color = None if picture is None else picture.message.color
    if picture is None or picture.jpeg is None or color is None:
        return picture
    pixels = decode(picture.jpeg, color.width, color.height)
    if pixels is None:
        return replace(picture, jpeg=None)
    live.darkroom.put(picture, pixels)
    return None


@persistent
def _before_load(*_: object) -> None:
    disconnect()


@persistent
def _before_save(*_: object) -> None:
    _unsaved.put_aside()


@persistent
def _after_save(*_: object) -> None:
    _unsaved.put_back()


_HANDLERS = (
    ("load_pre", _before_load),
    ("save_pre", _before_save),
    ("save_post", _after_save),
    ("save_post_fail", _after_save),
)


def register() -> None:
    """Listen for files being opened and saved."""
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler not in handlers:
            handlers.append(handler)


def unregister() -> None:
    """Disconnect, and listen for nothing any more."""
    disconnect()
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
