import gc
import io
import json
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dptstream.errors import WireVersionError
from dptstream.geometry import DepthKind
from dptstream.viewer.feeds import FeedStatus
from dptstream.viewer.settings import ViewSettings
from dptstream.viewer.web import WebServer, hub
from dptstream.wire import DepthPlane, JpegColor, RawColor, unpack
from tests.waiting import PATIENCE_SECONDS, lasting_port, wait_until
from tests.wire.making import OTHER_SESSION

from .feeding import Packet, RecordingTransport, ScriptedFeed, distances, scene, serving, visiting


def message_of(packet: Packet) -> Any:
    """Return the packet's message, read by the wire's own reader."""
    topic = f"dpt/{packet.header['feed']}/frame".encode()
    return unpack([topic, json.dumps(packet.header).encode(), packet.depth, packet.color])


@pytest.mark.parametrize("dtype", [np.float16, np.uint16, np.float32])
def test_depth_and_picture_reach_a_page_as_they_were_sent(dtype: Any) -> None:
    codes = (distances() * (1000 if dtype == np.uint16 else 1)).astype(dtype)
    sent = scene(5, depth=DepthPlane(codes, DepthKind.METRIC, 1.0, 4.0, 0.001 if dtype == np.uint16 else 1.0))
    feed = ScriptedFeed()
    feed.put(sent)
    with serving(feed) as server, visiting(server) as visitor:
        packet = visitor.frame()
    assert packet.depth_starts_at % 8 == 0
    came = message_of(packet)
    np.testing.assert_array_equal(came.depth.codes, sent.depth.codes)
    assert isinstance(sent.color, RawColor)
    np.testing.assert_array_equal(came.color.pixels, sent.color.pixels)
    assert (came.sequence, came.model, came.intrinsics) == (5, sent.model, sent.intrinsics)


def test_a_thin_link_loses_no_depth() -> None:
    sent = scene()
    feed = ScriptedFeed()
    feed.put(sent)
    with serving(feed) as server, visiting(server) as visitor:
        whole = visitor.frame()
        visitor.send("follow", feed=None, quality="light")
        feed.put(scene(1))
        light = visitor.frame()
    assert light.size < whole.size / 2
    came = message_of(light)
    np.testing.assert_array_equal(came.depth.codes, sent.depth.codes)
    assert isinstance(came.color, JpegColor)
    assert Image.open(io.BytesIO(came.color.data)).size == (64, 48)


def test_a_page_that_did_not_ask_gets_no_frame() -> None:
    feed = ScriptedFeed()
    feed.put(scene())
    with serving(feed) as server, visiting(server) as visitor, pytest.raises(TimeoutError):
        visitor.frame(ready=False, timeout=0.7)


def test_a_slow_page_gets_the_newest_frame_and_none_of_those_between() -> None:
    feed = ScriptedFeed()
    with serving(feed) as server, visiting(server) as visitor:
        feed.put(scene(0))
        assert visitor.frame().header["sequence"] == 0
        for number in range(1, 30):
            feed.put(scene(number))
            wait_until(lambda: feed.taken)
        assert visitor.frame().header["sequence"] == 29
        with pytest.raises(TimeoutError):
            visitor.frame(timeout=0.3)  # there is nothing newer, and the same one does not come twice


def test_a_page_cannot_pile_up_frames_by_asking_again_and_again() -> None:
    feed, came = ScriptedFeed(), []
    with serving(feed) as server, visiting(server) as visitor:
        visitor.send("ready", frames=1000)
        visitor.send("ready")
        for number in range(5):
            feed.put(scene(number))
            wait_until(lambda: feed.taken)
            if number < 2:
                came.append(visitor.frame(ready=False).header["sequence"])
        with pytest.raises(TimeoutError):
            visitor.frame(ready=False, timeout=0.5)
    assert came == [0, 1]


def test_a_slow_page_does_not_slow_a_fast_one() -> None:
    feed = ScriptedFeed()
    with serving(feed) as server, visiting(server) as slow, visiting(server) as fast:
        feed.put(scene(0))
        slow.frame()  # and never asks again, nor reads
        assert fast.frame().header["sequence"] == 0
        for number in range(1, 25):
            feed.put(scene(number))
            assert fast.frame().header["sequence"] == number
        assert slow.frame().header["sequence"] == 24


def test_frames_that_nobody_takes_are_forgotten() -> None:
    feed = ScriptedFeed()
    alive: list[weakref.ref[NDArray[Any]]] = []
    with serving(feed) as server, visiting(server) as visitor:
        feed.put(scene(0))
        visitor.frame()
        for number in range(1, 20):
            message = scene(number)
            alive.append(weakref.ref(message.depth.codes))
            feed.put(message)
            del message
            wait_until(lambda: feed.taken)
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 3


def test_pages_follow_the_feed_they_name() -> None:
    left, right = ScriptedFeed(every=0.02, feed="left"), ScriptedFeed(every=0.02, feed="right")
    with serving(left, right) as server, visiting(server) as visitor:
        wait_until(lambda: {feed["name"] for feed in visitor.hear("status")["feeds"]} == {"left", "right"})
        for name in ("right", "left"):
            visitor.send("follow", feed=name)
            visitor.frame()  # may have been under way
            assert {visitor.frame().header["feed"] for _ in range(3)} == {name}


def test_a_page_goes_along_when_its_feed_turns_to_another_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FORGET_SECONDS", 0.2)
    feed = ScriptedFeed()
    feed.put(scene(0, feed="film"))
    with serving(feed) as server, visiting(server) as visitor:
        assert visitor.frame().header["feed"] == "film"
        time.sleep(0.3)
        feed.put(scene(0, feed="photo"))
        assert visitor.frame().header["feed"] == "photo"
        wait_until(lambda: [entry["name"] for entry in visitor.hear("status")["feeds"]] == ["photo"])


def test_a_page_is_told_how_the_feed_goes() -> None:
    feed = ScriptedFeed()
    feed.state = FeedStatus("connecting", "nobody there")
    with serving(feed) as server, visiting(server) as visitor:
        first = visitor.hear("status")["feeds"]
        assert [(entry["name"], entry["state"], entry["note"]) for entry in first] == [
            (None, "connecting", "nobody there")
        ]
        feed.state = FeedStatus("playing", frames_per_second=25.0)
        feed.put(scene())
        wait_until(lambda: visitor.hear("status")["feeds"][0]["name"] == "cam1")
        entry = visitor.hear("status")["feeds"][0]
        assert (entry["state"], entry["sender_fps"], entry["frames"]) == ("playing", 25.0, 1)
        feed.state = FeedStatus("ended")
        wait_until(lambda: visitor.hear("status")["feeds"][0]["state"] == "ended")


def test_a_sender_that_is_not_understood_is_told_and_may_recover() -> None:
    feed = ScriptedFeed()
    feed.failure = WireVersionError("the feed speaks version 2")
    with serving(feed) as server, visiting(server) as visitor:
        wait_until(lambda: visitor.hear("status")["feeds"][0]["state"] == "failed")
        assert "version 2" in visitor.hear("status")["feeds"][0]["note"]
        feed.failure = None
        feed.put(scene(0, session=OTHER_SESSION))
        assert visitor.frame().header["session"] == OTHER_SESSION
        wait_until(lambda: visitor.hear("status")["feeds"][0]["state"] == "playing")


def test_pages_begin_with_the_settings_of_the_command() -> None:
    settings = ViewSettings(mode="surface", near=0.5, far=4.0)
    with serving(settings=settings) as server, visiting(server) as visitor:
        hello = visitor.hear("hello")
    assert (hello["settings"]["mode"], hello["settings"]["near"], hello["settings"]["far"]) == ("surface", 0.5, 4.0)
    assert hello["settings"]["filters"]["temporal"] == {"enabled": False, "alpha": 0.4, "delta": 20, "persistency": 3}
    assert (hello["upload"], hello["presets"]) == (None, None)


def test_the_transport_does_what_a_page_asks() -> None:
    feed = ScriptedFeed()
    feed.transport = RecordingTransport()
    wishes = [("pause", 1), ("seek", 4.25), ("step", -1), ("loop", 0), ("speed", 2)]
    with serving(feed) as server, visiting(server) as visitor:
        for action, value in wishes:
            visitor.send("transport", action=action, value=value)
        wait_until(lambda: len(feed.transport.asked) == len(wishes))  # type: ignore[union-attr]
        assert feed.transport.asked == [("pause", True), ("seek", 4.25), ("step", -1), ("loop", False), ("speed", 2.0)]
        told = visitor.hear("status")["feeds"][0]["transport"]
    assert (told["position"], told["length"], told["loop"], told["can_change_speed"]) == (1.5, 10.0, True, True)


@pytest.mark.parametrize(
    ("wish", "answer"),
    [
        ({"action": "speed", "value": 99}, "between 0 and 8"),
        ({"action": "fly"}, "there is no 'fly'; there are pause"),
        ({"action": "seek", "value": "soon"}, "could not convert"),
        ({"value": 1}, "action"),
    ],
)
def test_the_transport_refuses_with_reasons(wish: dict[str, object], answer: str) -> None:
    feed = ScriptedFeed()
    feed.transport = RecordingTransport()
    with serving(feed) as server, visiting(server) as visitor:
        visitor.send("transport", **wish)
        assert answer in visitor.hear("refused")["text"]
        assert feed.transport.asked == []


def test_a_live_feed_cannot_be_wound() -> None:
    with serving() as server, visiting(server) as visitor:
        visitor.send("transport", action="pause", value=1)
        assert "comes live" in visitor.hear("refused")["text"]


def test_the_senders_smoothing_is_changed_where_that_is_possible() -> None:
    asked: list[str] = []
    with serving(smooth=asked.append) as server, visiting(server) as visitor:
        assert visitor.hear("hello")["presets"] == ["off", "minimal", "light", "default", "strong"]
        visitor.send("smooth", preset="strong")
        wait_until(lambda: asked == ["strong"])
    with serving() as server, visiting(server) as visitor:
        visitor.send("smooth", preset="strong")
        assert "cannot be asked" in visitor.hear("refused")["text"]


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "7", '{"type":"fly"}', "[" * 9000, '{"type":"ready","frames":"x"}']
)
def test_what_a_page_may_not_say_is_answered_and_does_no_harm(text: str) -> None:
    feed = ScriptedFeed()
    feed.put(scene())
    with serving(feed) as server, visiting(server) as visitor:
        visitor.socket.send(text)
        assert visitor.hear("refused")["text"].startswith("not understood")
        assert visitor.frame().header["sequence"] == 0


def test_a_text_that_is_too_long_ends_that_page_alone() -> None:
    feed = ScriptedFeed()
    feed.put(scene())
    with serving(feed) as server, visiting(server) as visitor:
        with visiting(server) as rude:
            rude.socket.send("x" * 100_000)
            assert rude.hung_up()
        assert visitor.frame().header["sequence"] == 0


def test_clocks_can_be_compared() -> None:
    with serving() as server, visiting(server) as visitor:
        visitor.send("ping", sent=12.5)
        pong = visitor.hear("pong")
    assert pong["sent"] == 12.5
    assert abs(pong["now"] / 1e3 - time.time()) < PATIENCE_SECONDS


def test_closing_ends_the_pages_and_gives_the_port_back() -> None:
    before = threading.active_count()
    with serving(port=lasting_port()) as server, visiting(server) as visitor:
        visitor.hear("hello")
        server.close()
        assert visitor.hung_up()
        with serving(port=server.port):
            pass
    wait_until(lambda: threading.active_count() <= before)


def test_waiting_ends_when_the_server_is_closed() -> None:
    with serving() as server:
        threading.Timer(0.3, server.close).start()
        server.wait()


def test_a_server_without_feeds_is_refused() -> None:
    with pytest.raises(ValueError, match="no feed"):
        WebServer([], ViewSettings())
