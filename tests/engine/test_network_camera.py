"""A network camera, simulated on this machine: pictures at their own pace, and connections that break."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest

from dptstream.engine import EngineConfig
from dptstream.engine import player as player_module
from dptstream.engine.player import EnginePlayer, Network
from dptstream.sinks.zmq import ZmqSink
from dptstream.sources import open_source
from dptstream.sources.playback import Playback
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber

from .toys import ToyModel

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


@contextmanager
def mjpeg_camera(frames_per_connection: int) -> Iterator[str]:
    """Serve one picture each 20 ms, and break each connection after so many."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(8):
        picture = np.full((48, 64, 3), random.integers(0, 256, 3), np.uint8)
        pictures.append(cv2.imencode(".jpg", picture)[1].tobytes())
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(HEAD)
                for number in range(frames_per_connection):
                    jpeg = pictures[number % len(pictures)]
                    part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                    connection.sendall(part + jpeg + b"\r\n")
                    if over.wait(0.02):
                        break

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/video"
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # wakes the thread that accepts
        thread.join()
        listener.close()


def test_a_network_camera_is_live_and_comes_back_as_a_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "FIRST_RETRY_SECONDS", 0.05)
    with (
        mjpeg_camera(frames_per_connection=60) as address,
        Publisher("tcp://127.0.0.1:*") as publisher,
        Subscriber(publisher.endpoint, capacity=1000) as subscriber,
    ):
        player = EnginePlayer(
            "cam1",
            lambda: Playback(lambda options: open_source(address, options)),
            lambda smoothing: ZmqSink(publisher, name="cam1", smoothing=smoothing),
            Network(ToyModel()),
            config=EngineConfig(policy="live"),
        )
        assert player.report().live
        player.start()
        sessions: list[str] = []
        for message in subscriber.frames(timeout=20):
            if message.session not in sessions:
                sessions.append(message.session)
                assert message.captured_unix_ns is not None
                assert time.time_ns() - message.captured_unix_ns < 2e9
            if len(sessions) == 3:
                break
        assert not subscriber.ended
        begin = time.monotonic()
        player.stop()
        assert player.join(2)
        assert time.monotonic() - begin < 2
    assert player.failure is None
    assert len(sessions) == 3
