"""Feeds of known depth for Blender's tests, sent from the tests' own process."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from dptstream.geometry import DepthKind, Intrinsics
from dptstream.wire import DepthPlane, FrameMessage, RawColor
from dptstream.wire.keys import ServerKeys
from dptstream.wire.publisher import Publisher
from tests.wire.making import make_frame

MakeFrame = Callable[[int], FrameMessage]


def slope(sequence: int, height: int = 20, width: int = 32, **changes: object) -> FrameMessage:
    """Return a metric frame whose distance grows from left to right and with time, without a jump, in colours."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    codes = (2 + 0.02 * columns + 0.01 * rows + 0.001 * (sequence % 500)).astype(np.float32)
    color = np.stack((columns * 8 % 256, rows * 12 % 256, np.full_like(rows, sequence % 256)), -1).astype(np.uint8)
    now = time.time_ns()
    defaults = {
        "sequence": sequence,
        "frame_number": sequence,
        "captured_unix_ns": now,
        "published_unix_ns": now,
        "intrinsics": Intrinsics(30.0, 30.0, width / 2, height / 2, width, height),
        "depth": DepthPlane(codes, DepthKind.METRIC, 2.0, 4.0),
        "color": RawColor(color),
    }
    return make_frame(**(defaults | changes))


@contextmanager
def feed(
    *makers: MakeFrame, endpoint: str = "tcp://127.0.0.1:*", fps: float = 50, keys: ServerKeys | None = None
) -> Iterator[str]:
    """Publish what each maker makes of a growing number, at ``fps``; yield the endpoint."""
    stop, session = threading.Event(), uuid.uuid4().hex
    with Publisher(endpoint, keys=keys) as publisher:

        def publish() -> None:
            sequence = 0
            while not stop.wait(1 / fps):
                for make in makers:
                    publisher.send(_of_session(make(sequence), session))
                sequence += 1

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        try:
            yield publisher.endpoint
        finally:
            stop.set()
            thread.join()


def _of_session(message: FrameMessage, session: str) -> FrameMessage:
    from dataclasses import replace

    return replace(message, session=session)
