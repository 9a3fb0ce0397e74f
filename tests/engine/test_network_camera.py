"""Network cameras whose connections break."""

import time
from pathlib import Path

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
from tests.clip_cameras import MjpegCamera, RtspCamera
from tests.waiting import wait_until

from .toys import ToyModel

CLIP = Path(__file__).parents[2] / "examples" / "media" / "big_buck_bunny.mp4"


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
            config=lambda _: EngineConfig(policy="live"),
        )
        assert player.report().live
        player.start()
        sessions: list[str] = []
        for message in subscriber.frames(timeout=60):
            if message.session not in sessions:
                sessions.append(message.session)
                assert message.captured_unix_ns is not None
            if len(sessions) == 3:
                break
        assert not subscriber.ended
        player.stop()
        assert player.join(60)
    assert player.failure is None
    assert len(sessions) == 3


@pytest.mark.parametrize("camera_class", [MjpegCamera, RtspCamera])
def test_cameras_that_play_a_real_stream_are_fresh_and_come_back_after_a_cut(
    camera_class: type[MjpegCamera] | type[RtspCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(player_module, "FIRST_RETRY_SECONDS", 0.05)
    with (
        camera_class(CLIP) as camera,
        Publisher("tcp://127.0.0.1:*") as publisher,
        Subscriber(publisher.endpoint, capacity=1000) as subscriber,
    ):
        player = EnginePlayer(
            "cam1",
            lambda: Playback(lambda options: open_source(camera.address, options)),
            lambda smoothing: ZmqSink(publisher, name="cam1", smoothing=smoothing),
            Network(ToyModel(), temporal="off"),
            config=lambda _: EngineConfig(policy="live"),
        )
        player.start()
        frames = subscriber.frames(timeout=60)
        before = [next(frames) for _ in range(10)]
        camera.fault = "refusing"
        wait_until(lambda: player.report().state == "waiting")
        connections = camera.connections
        time.sleep(0.3)  # it knocks, and nobody answers
        camera.fault = "none"
        session = before[0].session
        after = next(message for message in frames if message.session != session)
        ages = [time.time_ns() - (message.captured_unix_ns or 0) for message in (next(frames) for _ in range(10))]
        player.stop()
        assert player.join(60)
    assert camera.connections > connections
    assert (after.sequence, after.source.width, after.source.height) == (0, 640, 360)
    assert min(ages) < 0.5e9
    assert player.failure is None
    assert player.report().sessions == 2
