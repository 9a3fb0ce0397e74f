import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dptstream.viewer.live import LiveFeed, control_of
from dptstream.wire.control import ControlServer
from dptstream.wire.messages import EndMessage
from dptstream.wire.publisher import Publisher
from tests.waiting import PATIENCE_SECONDS, wait_until
from tests.wire.feeding import numbered_frame
from tests.wire.making import SESSION, make_end

ANY = "tcp://127.0.0.1:*"


class Sender:
    """A sender whose film is steered, and that remembers what it was asked."""

    def __init__(self, publisher: Publisher, *, live: bool = False) -> None:
        self.publisher, self.live = publisher, live
        self.asked: list[tuple[str, Any]] = []
        self.paused = self.looping = False
        self.sequence = 0
        self.sought: float | None = None

    def send(self, *, pts: int = 0, jumped: bool = False) -> None:
        from dataclasses import replace

        frame = numbered_frame(self.sequence, SESSION)
        self.publisher.send(replace(frame, pts=pts, discontinuity=jumped))
        self.sequence += 1

    def status(self) -> dict[str, object]:
        return {"feeds": [{"feed": "cam1", "live": self.live, "paused": self.paused, "loop": self.looping}]}

    def pause(self, *, feed: str | None, paused: bool) -> None:
        self.asked.append(("pause", paused))
        self.paused = paused
        if not paused and self.sought is not None:
            self.send(pts=int(self.sought * 30000), jumped=True)
            self.sought = None

    def seek(self, *, feed: str | None, seconds: float) -> None:
        if seconds > 100:
            raise ValueError("the clip ends at 100 s")
        self.asked.append(("seek", round(seconds, 3)))
        self.sought = seconds

    def loop(self, *, feed: str | None, enabled: bool) -> None:
        self.asked.append(("loop", enabled))
        self.looping = enabled

    def temporal(self, *, preset: str) -> None:
        self.asked.append(("temporal", preset))


@contextmanager
def sending(*, live: bool = False) -> Iterator[tuple[Sender, LiveFeed]]:
    with Publisher(ANY) as publisher:
        sender = Sender(publisher, live=live)
        with ControlServer(sender, ANY) as control:  # type: ignore[arg-type]  # what is never asked is left out
            feed = LiveFeed(publisher.endpoint, control=control.endpoint, length=100.0)
            try:
                wait_until(lambda: publisher.subscribers > 0)
                yield sender, feed
            finally:
                feed.close()
                feed.close()


def test_the_control_channel_is_looked_for_at_the_next_port() -> None:
    assert control_of("tcp://10.0.0.1:5577") == "tcp://10.0.0.1:5578"
    assert control_of("ipc:///run/depth") is None
    assert control_of("tcp://10.0.0.1:65535") is None


def test_the_newest_frame_wins_and_is_given_once() -> None:
    with sending() as (sender, feed):
        for _ in range(5):
            sender.send()
        wait_until(lambda: feed.missed == 4)
        message = feed.newest(PATIENCE_SECONDS)
        assert message is not None
        assert message.sequence == 4
        assert feed.newest(0.05) is None
        assert feed.title.startswith("cam1 at tcp://")


def test_another_feed_of_the_same_address_does_not_mix_in() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        sender.publisher.send(numbered_frame(0, SESSION, feed="cam2"))
        sender.send()
        message = feed.newest(PATIENCE_SECONDS)
        assert message is not None
        assert message.feed == "cam1"
        assert feed.newest(0.2) is None


def test_another_film_is_shown_when_the_one_before_has_ended() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        sender.publisher.send(make_end(session=SESSION, reason="stopped", note=""))
        sender.publisher.send(numbered_frame(0, SESSION, feed="photo"))
        message = feed.newest(PATIENCE_SECONDS)
        assert message is not None
        assert message.feed == "photo"
        assert feed.title.startswith("photo at tcp://")


def test_another_film_has_its_own_length() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        wait_until(lambda: feed.transport is not None)
        for name, length in (("clip", 7.0), ("camera", None)):
            feed.expect_length(length)
            sender.publisher.send(make_end(session=SESSION, reason="stopped", note="", feed=feed._chosen or ""))
            sender.publisher.send(numbered_frame(0, SESSION, feed=name))
            assert feed.newest(PATIENCE_SECONDS) is not None
            assert feed.transport is not None
            assert feed.transport.status().length == length


def test_a_file_can_be_paused_looped_and_sought_in() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        wait_until(lambda: feed.transport is not None)
        transport = feed.transport
        assert transport is not None
        transport.set_loop(enabled=True)
        transport.seek(12.0)
        wait_until(lambda: transport.status().position == pytest.approx(12.0))
        message = feed.newest(PATIENCE_SECONDS)
        assert message is not None
        assert message.pts_seconds == pytest.approx(12.0)
        assert ("loop", True) in sender.asked
        assert not sender.paused
        assert transport.status().length == 100.0
        with pytest.raises(ValueError, match="its own pace"):
            transport.set_speed(2)


def test_seeking_while_paused_shows_that_frame_and_stays_paused() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        wait_until(lambda: feed.transport is not None)
        transport = feed.transport
        assert transport is not None
        transport.pause(paused=True)
        transport.seek(3.0)
        message = feed.newest(PATIENCE_SECONDS)
        assert message is not None
        assert message.pts_seconds == pytest.approx(3.0)
        wait_until(lambda: sender.asked[-1] == ("pause", True))
        assert sender.asked == [
            ("pause", True),
            ("pause", True),
            ("seek", 3.0),
            ("pause", False),
            ("pause", True),
        ]


def test_a_step_goes_by_one_frame_and_pauses() -> None:
    with sending() as (sender, feed):
        for number in range(3):
            sender.send(pts=number * 1200)  # 25 a second
        wait_until(lambda: feed.transport is not None and feed.transport.status().position > 0.07)
        transport = feed.transport
        assert transport is not None
        transport.step(1)
        wait_until(lambda: "seek" in dict(sender.asked) and sender.asked[-1] == ("pause", True))
        sought = next(value for name, value in sender.asked if name == "seek")
        assert 0.08 < sought <= 0.12
        assert transport.status().paused


def test_what_comes_live_has_no_transport() -> None:
    with sending(live=True) as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        time.sleep(0.3)
        assert feed.transport is None


def test_a_refusal_is_told() -> None:
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        wait_until(lambda: feed.transport is not None)
        assert feed.transport is not None
        feed.transport.seek(500.0)
        wait_until(lambda: "the clip ends at 100 s" in feed.status().note)


def test_smoothing_is_asked_of_the_sender() -> None:
    with sending() as (sender, feed):
        feed.smooth("strong")
        assert sender.asked == [("temporal", "strong")]


def test_silence_and_the_end_are_told_apart() -> None:
    feed = LiveFeed("tcp://127.0.0.1:9")
    assert feed.newest(0.05) is None
    assert feed.status().state == "connecting"
    assert "is dptstream serving there?" in feed.status().note
    feed.close()
    with sending() as (sender, feed):
        sender.send()
        assert feed.newest(PATIENCE_SECONDS) is not None
        assert feed.status().state == "playing"
        end: EndMessage = make_end(session=SESSION, reason="failed", note="the cable is cut")
        sender.publisher.send(end)
        wait_until(lambda: feed.status().state == "ended")
        assert feed.status().note == "the feed has failed: the cable is cut"
        began = time.monotonic()
        assert feed.newest(0.2) is None
        assert time.monotonic() - began >= 0.15  # an ended feed must not make its viewer spin
