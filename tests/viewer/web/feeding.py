"""Feeds for the tests of the page, and visitors that are no browsers."""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from dptstream.errors import DptStreamError
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.viewer.feeds import FeedStatus, TransportStatus
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.web import WebOptions, WebServer
from dptstream.wire import DepthPlane, FrameMessage, RawColor
from tests.waiting import PATIENCE_SECONDS
from tests.wire.making import make_frame

WIDTH, HEIGHT = 64, 48

RAMP = (1 + np.linspace(0, 2, WIDTH)[None, :] + 0.2 * np.sin(np.arange(HEIGHT) / 5)[:, None]).astype(np.float32)
"""Distances without any jump."""
HOLED = np.where((np.arange(WIDTH) % 9 == 4)[None, :] & (np.arange(HEIGHT) % 7 == 3)[:, None], 0, RAMP)
"""The same with pixels that have none."""


class ScriptedFeed:
    """Gives the frames that a test puts in, the newest of them; ``stream`` makes one by itself every so often."""

    title = "scripted"

    def __init__(self, *, every: float | None = None, **frame: Any) -> None:
        self.state = FeedStatus("playing", frames_per_second=30.0)
        self.transport: RecordingTransport | None = None
        self.failure: DptStreamError | None = None
        self._every = every
        self._frame = frame
        self._count = 0
        self._changed = threading.Condition()
        self._waiting: FrameMessage | None = None
        self._noted = True

    def put(self, message: FrameMessage) -> None:
        with self._changed:
            self._waiting, self._noted = message, False
            self._changed.notify()

    @property
    def taken(self) -> bool:
        """Whether the server has taken what was put in, and come back for more."""
        with self._changed:
            return self._noted

    def newest(self, timeout: float) -> FrameMessage | None:
        failure = self.failure
        if failure is not None:
            time.sleep(timeout)
            raise failure
        if self._every is not None:
            time.sleep(self._every)
            self._count += 1
            return scene(self._count, **self._frame)
        with self._changed:
            self._noted = self._waiting is None
            self._changed.wait_for(lambda: self._waiting is not None, timeout)
            message, self._waiting = self._waiting, None
            return message

    def status(self) -> FeedStatus:
        return self.state

    def close(self) -> None:
        pass


def still(message: FrameMessage | None = None) -> ScriptedFeed:
    """A feed that gives one frame."""
    feed = ScriptedFeed()
    feed.put(message or scene())
    return feed


class RecordingTransport:
    """Notes what was asked of it."""

    can_change_speed = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def status(self) -> TransportStatus:
        return TransportStatus(position=1.5, length=10.0, paused=False, loop=True, speed=1.0)

    def pause(self, *, paused: bool) -> None:
        self.asked.append(("pause", paused))

    def seek(self, seconds: float) -> None:
        self.asked.append(("seek", seconds))

    def step(self, frames: int) -> None:
        self.asked.append(("step", frames))

    def set_loop(self, *, enabled: bool) -> None:
        self.asked.append(("loop", enabled))

    def set_speed(self, factor: float) -> None:
        if not 0 < factor <= 8:
            raise ValueError(f"speed must lie between 0 and 8; got {factor:g}")
        self.asked.append(("speed", factor))


def distances() -> NDArray[np.float32]:
    """Return a wall 3 m away, with a box before it at 1.5 m."""
    depth = np.full((HEIGHT, WIDTH), 3, np.float32)
    depth[16:32, 16:40] = 1.5
    return depth


def scene(number: int = 0, *, depth: DepthPlane | None = None, **changes: Any) -> FrameMessage:
    """Return the wall and box, metric, coloured by column and row."""
    plane = depth or DepthPlane(distances().astype(np.float16), DepthKind.METRIC, low=1.0, high=4.0)
    rows, columns = np.mgrid[: plane.height, : plane.width]
    picture = np.stack([columns * 3, rows * 4, np.full_like(rows, 160)], axis=2).astype(np.uint8)
    now = time.time_ns()
    fields = {
        "sequence": number,
        "frame_number": number,
        "pts": number * 1000,
        "captured_unix_ns": now,
        "published_unix_ns": now,
        "intrinsics": Intrinsics.default(plane.width, plane.height),
        "depth": plane,
        "color": RawColor(picture),
    }
    return make_frame(**(fields | changes))


@contextmanager
def serving(*feeds: Any, settings: ViewSettings | None = None, **options: Any) -> Iterator[WebServer]:
    """Serve the page of ``feeds`` at a free port."""
    fields = {"port": 0} | options
    with WebServer(feeds or [ScriptedFeed()], settings or ViewSettings(), WebOptions(**fields)) as server:
        yield server


class Visitor:
    """Talks to the server as the page does."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, kind: str, **fields: object) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def frame(self, *, ready: bool = True, timeout: float = PATIENCE_SECONDS) -> "Packet":
        """Ask for a frame, and return the next that comes."""
        if ready:
            self.send("ready")
        deadline = time.monotonic() + timeout
        while True:
            data = self.socket.recv(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(data, bytes):
                return Packet(data)

    def hear(self, kind: str, timeout: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the next text of that kind."""
        deadline = time.monotonic() + timeout
        while True:
            data = self.socket.recv(timeout=max(0.01, deadline - time.monotonic()))
            if isinstance(data, str) and (message := json.loads(data))["type"] == kind:
                return dict(message)

    def hung_up(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """Whether the server ends this connection within the time."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                self.socket.recv(timeout=timeout)
            except ConnectionClosed:
                return True
        return False


class Packet:
    """A packet, read by what its description says."""

    def __init__(self, data: bytes) -> None:
        header_bytes, depth_bytes = struct.unpack_from("<II", data)
        self.size = len(data)
        self.header = json.loads(data[8 : 8 + header_bytes])
        self.depth_starts_at = 8 + header_bytes
        self.depth = data[self.depth_starts_at : self.depth_starts_at + depth_bytes]
        self.color = data[self.depth_starts_at + depth_bytes :]


@contextmanager
def visiting(server: WebServer, **headers: Any) -> Iterator[Visitor]:
    """Open the page's WebSocket."""
    with connect(
        f"ws://127.0.0.1:{server.port}/feed", max_size=2**26, open_timeout=PATIENCE_SECONDS, **headers
    ) as socket:
        yield Visitor(socket)


def ask(
    server: WebServer, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str
) -> HTTPResponse:
    """Return the answer to one request, its body read."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
    finally:
        connection.close()
    return answer
