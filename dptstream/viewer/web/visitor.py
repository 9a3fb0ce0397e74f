"""One open page: what it asks for, and the frames it gets, one at a time. Knows no HTTP beyond its WebSocket."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from ...errors import DptStreamError, describe
from ..feeds import Transport
from .hub import FeedReport, Hub
from .packets import Packet, Quality

STATUS_SECONDS = 0.5
"""How often a page is told how the feeds go."""
MAX_CREDIT = 2
"""Frames that may be under way to a page: one, or two where the way is long."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What pages may do beyond looking; said to each page when it opens."""

    settings: dict[str, object]
    """The settings a page begins with."""
    max_upload_bytes: int | None
    """Largest picture or video that may be sent here; None where there is no engine to run it."""
    smooth: Callable[[str], None] | None = None
    """Changes how the sender steadies depth over time; None where it cannot be asked to."""
    presets: tuple[str, ...] = ("off", "minimal", "light", "default", "strong")
    """What ``smooth`` takes."""


class Visitor:
    """Serves one WebSocket until it closes.

    A frame is sent when the page said that it took the one before, so a slow page gets fewer frames, always the newest,
    and never has more than ``MAX_CREDIT`` of them in memory or under way.
    """

    def __init__(self, socket: WebSocket, hub: Hub, offer: Offer) -> None:
        self._socket = socket
        self._hub = hub
        self._offer = offer
        self._name: str | None = None
        self._quality: Quality = "full"
        self._credit = 0
        self._wish_changed = asyncio.Event()
        self._sending = asyncio.Lock()  # a text may not start inside of a packet

    async def serve(self) -> None:
        """Talk with the page until it goes."""
        presets = list(self._offer.presets) if self._offer.smooth is not None else None
        await self._say("hello", settings=self._offer.settings, upload=self._offer.max_upload_bytes, presets=presets)
        tasks = [asyncio.create_task(job()) for job in (self._send_frames, self._send_status)]
        try:
            await self._listen()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task

    async def _listen(self) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                text = await self._socket.receive_text()
                try:
                    await self._answer(json.loads(text))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                    await self._say("refused", text=f"not understood: {describe(error)}")

    async def _answer(self, wish: dict[str, Any]) -> None:
        kind = wish["type"]
        if kind == "ready":
            self._credit = min(MAX_CREDIT, self._credit + max(1, int(wish.get("frames", 1))))
        elif kind == "follow":
            name = wish.get("feed")
            self._name = None if name is None else str(name)
            self._quality = "light" if wish.get("quality") == "light" else "full"
        elif kind == "ping":
            await self._say("pong", sent=wish.get("sent"), now=time.time() * 1e3)
        elif kind in ("transport", "smooth"):
            await self._steer(kind, wish)
        else:
            raise ValueError(f"there is no {str(kind)[:40]!r}")
        self._wish_changed.set()

    async def _steer(self, kind: Literal["transport", "smooth"], wish: dict[str, Any]) -> None:
        try:
            if kind == "smooth":
                await asyncio.to_thread(self._offer.smooth or _cannot_smooth, str(wish["preset"]))
            else:
                await asyncio.to_thread(_steer, self._hub.find(self._name).transport, wish)
        except (DptStreamError, OSError, ValueError) as error:
            await self._say("refused", text=describe(error))

    async def _send_frames(self) -> None:
        last: Packet | None = None
        while True:
            while self._credit < 1:
                self._wish_changed.clear()
                await self._wish_changed.wait()
            packet = await self._next(last)
            if packet is None:
                continue
            try:
                data = await asyncio.to_thread(packet.data, self._quality)
            except DptStreamError as error:
                _LOG.warning("a frame cannot be sent: %s", error)
                last = packet
                continue
            self._credit -= 1
            last = packet
            async with self._sending:
                await self._socket.send_bytes(data)

    async def _next(self, last: Packet | None) -> Packet | None:
        """Return the next packet, or None where the page meanwhile wishes for something else."""
        self._wish_changed.clear()
        frame = asyncio.ensure_future(self._hub.next_packet(self._name, last))
        wish = asyncio.ensure_future(self._wish_changed.wait())
        try:
            await asyncio.wait({frame, wish}, return_when=asyncio.FIRST_COMPLETED)
            return frame.result() if frame.done() else None
        finally:
            frame.cancel()
            wish.cancel()

    async def _send_status(self) -> None:
        while True:
            await self._say("status", feeds=[_state_of(report) for report in self._hub.reports()])
            await asyncio.sleep(STATUS_SECONDS)

    async def _say(self, kind: str, **fields: object) -> None:
        async with self._sending:
            await self._socket.send_text(json.dumps({"type": kind, **fields}, allow_nan=False))


def _cannot_smooth(_: str) -> None:
    raise ValueError("this sender cannot be asked to smooth otherwise")


def _steer(transport: Transport | None, wish: dict[str, Any]) -> None:
    """Do what a page's buttons ask; raises ValueError with words for the page."""
    if transport is None:
        raise ValueError("this feed comes live: it cannot be paused or wound")
    action = str(wish["action"])
    value = float(wish.get("value", 0))
    if not math.isfinite(value):
        raise ValueError(f"{action} needs a number")
    if action == "pause":
        transport.pause(paused=bool(value))
    elif action == "seek":
        transport.seek(max(0.0, value))
    elif action == "step":
        transport.step(int(value))
    elif action == "loop":
        transport.set_loop(enabled=bool(value))
    elif action == "speed":
        transport.set_speed(value)
    else:
        raise ValueError(f"there is no {action[:40]!r}; there are pause, seek, step, loop, speed")


def _state_of(report: FeedReport) -> dict[str, object]:
    transport = report.feed.transport
    return {
        "name": report.name,
        "title": report.feed.title,
        "state": report.status.state,
        "note": report.status.note,
        "sender_fps": report.status.frames_per_second,
        "fps": report.frames_per_second,
        "frames": report.frames,
        "transport": None
        if transport is None
        else {**asdict(transport.status()), "can_change_speed": transport.can_change_speed},
    }
