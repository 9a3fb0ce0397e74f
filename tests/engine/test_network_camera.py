"""A network camera whose connections break."""

import time

import pytest

from dptstream.engine import EngineConfig
from dptstream.engine import player as player_module
from dptstream.engine.player import EnginePlayer, Network
from dptstream.sinks.zmq import ZmqSink
from dptstream.sources import open_source
from dptstream.sources.playback import Playback
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber
from tests.cameras import mjpeg_camera

from .toys import ToyModel


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
