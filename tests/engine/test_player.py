"""A feed being served: sessions, lost connections, changes on the way, and what the control channel does to it."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from dptstream.engine import EngineConfig
from dptstream.engine import engine as engine_module
from dptstream.engine import player as player_module
from dptstream.engine.batching import BatchPolicy
from dptstream.engine.feeds import Player
from dptstream.engine.player import EnginePlayer, Network
from dptstream.engine.replay import RecordingPlayer
from dptstream.engine.sharing import SharedModel
from dptstream.engine.steering import Steering
from dptstream.errors import SourceAwayError, SourceError, WireError
from dptstream.frames import VideoFrame
from dptstream.sinks.messages import MessageMaker, MessageOptions
from dptstream.sinks.recording import Recorder
from dptstream.sinks.zmq import ZmqSink
from dptstream.sources import SourceOptions, open_source
from dptstream.sources.playback import Playback
from dptstream.sources.recording import read_recording
from dptstream.wire import EndMessage, FrameMessage, Message
from dptstream.wire.control import ControlClient, ControlServer
from dptstream.wire.publisher import Publisher
from dptstream.wire.subscriber import Subscriber
from tests.sinks.clips import toy_feed, toy_frames
from tests.waiting import wait_until

from .test_policies import STEP, ToyCamera
from .toys import ToyModel

CLIP = "synthetic:scene=wall,width=16,height=12,frames=40,fps=100"


@contextmanager
def listening(publisher: Publisher) -> Iterator[Subscriber]:
    with Subscriber(publisher.endpoint, capacity=1000) as subscriber:
        while not publisher.subscribers:
            time.sleep(0.005)
        yield subscriber


@contextmanager
def playing(
    publisher: Publisher, open_playback: Callable[[], Playback], config: EngineConfig | None = None
) -> Iterator[EnginePlayer]:
    def make_sink(smoothing: str | None) -> ZmqSink:
        return ZmqSink(publisher, name="cam1", smoothing=smoothing)

    player = EnginePlayer(
        "cam1", open_playback, make_sink, Network(ToyModel()), config=lambda _: config or EngineConfig()
    )
    player.start()
    try:
        yield player
    finally:
        player.stop()
        assert player.join(60)


def clip(*, loop: bool = False) -> Playback:
    return Playback(lambda options: open_source(CLIP, options), loop=loop)


def follow(subscriber: Subscriber, until: Callable[[FrameMessage], bool]) -> FrameMessage:
    """Return the first message that fits."""
    for message in subscriber.frames(timeout=60, follow=True):
        if until(message):
            return message
    raise AssertionError("the feed ended first")


def test_a_clip_arrives_whole_and_ends() -> None:
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(publisher, clip, EngineConfig(pace=True)) as player,
    ):
        received = list(subscriber)
        assert player.join(60)
    assert [message.pts for message in received] == list(range(40))
    assert {message.smoothing for message in received} == {"default"}
    report = player.report()
    assert (report.frames, report.dropped, report.state, report.sessions) == (40, 0, "ended", 1)
    assert player.failure is None


def test_a_camera_that_is_lost_is_opened_again_as_a_new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "FIRST_RETRY_SECONDS", 0.05)
    opened: list[ToyCamera] = []

    class LostCamera(ToyCamera):
        def __iter__(self) -> Iterator[VideoFrame]:
            yield from super().__iter__()
            raise SourceError("the camera was unplugged")

    def open_camera(_: SourceOptions) -> ToyCamera:
        if len(opened) == 1:
            opened.append(ToyCamera(0))
            raise SourceError("there is no camera")
        opened.append(LostCamera(15) if len(opened) < 3 else ToyCamera(10_000))
        return opened[-1]

    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(publisher, lambda: Playback(open_camera), EngineConfig(policy="live")) as player,
    ):
        first = follow(subscriber, lambda _: True)
        second = follow(subscriber, lambda message: message.session != first.session)
        third = follow(subscriber, lambda message: message.session not in (first.session, second.session))
        assert second.sequence == third.sequence == 0
        assert not subscriber.ended  # nobody was told of an end, so nobody went away
        assert player.report().sessions == 3
        wait_until(lambda: player.report().note == "")
    assert player.failure is None
    wait_until(lambda: player.report().state == "ended")


def test_a_camera_that_is_away_at_first_is_waited_for_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(player_module, "LONGEST_RETRY_SECONDS", 0.1)
    plugged_in = threading.Event()

    def open_camera(_: SourceOptions) -> ToyCamera:
        if not plugged_in.is_set():
            raise SourceAwayError("/dev/video0: no such camera")
        return ToyCamera(10_000)

    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(publisher, lambda: Playback(open_camera), EngineConfig(policy="live")) as player,
        steered(player) as client,
    ):
        wait_until(lambda: "cam1" in subscriber.status())
        told = subscriber.status()["cam1"]
        assert (told.state, told.note) == ("waiting", "/dev/video0: no such camera; trying again")
        report = player.report()
        assert (report.state, report.note, report.live) == ("waiting", "/dev/video0: no such camera", True)
        assert (report.width, report.height, report.sessions) == (0, 0, 0)
        assert report.retry_seconds is not None
        assert 0 <= report.retry_seconds <= 0.1
        for operation, arguments in [("seek", {"seconds": 1.0}), ("loop", {"enabled": True})]:
            with pytest.raises(WireError, match="cam1 waits for its source: /dev/video0: no such camera"):
                client.request(operation, **arguments)
        client.request("size", pixels=128)
        assert not subscriber.ended
        plugged_in.set()
        first = follow(subscriber, lambda _: True)
        assert (first.feed, first.sequence) == ("cam1", 0)
        assert first.session != told.session
        wait_until(lambda: player.report().state == "playing")
        report = player.report()
        assert (report.note, report.retry_seconds, report.sessions, report.size) == ("", None, 1, 128)
    assert player.failure is None


def test_a_feed_whose_camera_never_came_ends_as_others_do() -> None:
    def open_camera(_: SourceOptions) -> ToyCamera:
        raise SourceAwayError("/dev/video0: no such camera")

    with Publisher("tcp://127.0.0.1:*") as publisher, listening(publisher) as subscriber:
        with playing(publisher, lambda: Playback(open_camera)) as player:
            wait_until(lambda: "cam1" in subscriber.status())
        wait_until(lambda: subscriber.ended)
    assert player.failure is None
    assert (player.report().state, player.report().retry_seconds) == ("ended", None)


def test_what_time_does_not_mend_is_no_reason_to_wait() -> None:
    def open_camera(_: SourceOptions) -> ToyCamera:
        raise SourceError("clip.mp4: no such file or folder")

    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        pytest.raises(SourceError, match="no such file"),
        playing(publisher, lambda: Playback(open_camera)),
    ):
        pass


def test_a_lost_session_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "FIRST_RETRY_SECONDS", 0.01)
    runs: list[weakref.ref[object]] = []
    make_run = engine_module.Run

    def note_run(*arguments: Any) -> object:
        run = make_run(*arguments)
        runs.append(weakref.ref(run))
        return run

    monkeypatch.setattr(engine_module, "Run", note_run)

    class LostCamera(ToyCamera):
        def __iter__(self) -> Iterator[VideoFrame]:
            yield from super().__iter__()
            raise SourceError("the camera was unplugged")

    gc.disable()  # as good as it is in a loop that makes little garbage
    try:
        with (
            Publisher("tcp://127.0.0.1:*") as publisher,
            playing(publisher, lambda: Playback(lambda _: LostCamera(5)), EngineConfig(policy="live")) as player,
        ):
            wait_until(lambda: player.report().sessions >= 6)
            kept = sum(run() is not None for run in list(runs))
    finally:
        gc.enable()
    assert len(runs) >= 6
    assert kept <= 2


def test_a_file_that_breaks_ends_its_feed_with_the_reason() -> None:
    class BrokenFile(ToyCamera):
        def __init__(self) -> None:
            super().__init__(9, fail_at=4)
            self.info = replace(self.info, live=False)

    heard: list[Message] = []
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        Subscriber(publisher.endpoint, on_message=heard.append),
    ):
        wait_until(lambda: publisher.subscribers > 0)
        with playing(publisher, lambda: Playback(lambda _: BrokenFile())) as player:
            assert player.join(60)
            wait_until(lambda: any(isinstance(message, EndMessage) for message in heard))
    (end,) = (message for message in heard if isinstance(message, EndMessage))
    assert end.reason == "failed"
    assert end.next_sequence <= 4
    assert "broken tape" in end.note
    assert "broken tape" in str(player.failure)
    assert "broken tape" in player.report().note


def test_smoothing_changes_on_the_way_as_a_new_session_without_losing_frames() -> None:
    scene = CLIP.replace("frames=40", "frames=400")  # so long that no busy machine is late for a change

    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(
            publisher, lambda: Playback(lambda options: open_source(scene, options)), EngineConfig(pace=True)
        ) as player,
    ):
        first = follow(subscriber, lambda message: message.sequence == 5)
        player.change(temporal="strong")
        received: list[FrameMessage] = []
        for message in subscriber.frames(timeout=60, follow=True):
            received.append(message)
            if message.frame_number == 399:
                break
    assert [message.frame_number for message in received] == list(range(6, 400))
    assert [message.smoothing for message in received][-1] == "strong"
    assert received[-1].session != first.session
    assert player.report().sessions == 2


def test_a_loop_goes_on_until_it_is_stopped() -> None:
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(publisher, lambda: clip(loop=True), EngineConfig(pace=True)),
    ):
        again = follow(subscriber, lambda message: message.sequence > 0 and message.pts == 0)
    assert again.discontinuity
    assert again.sequence == again.frame_number == 40


def test_feeds_that_share_a_network_move_to_another_one_and_end_each_for_itself() -> None:
    def shared(name: str) -> SharedModel:
        model = ToyModel()
        model.info = replace(model.info, name=name)  # type: ignore[misc]
        return SharedModel(model, BatchPolicy(wait_seconds=0.0))

    before, after = shared("before"), shared("after")
    with Publisher("tcp://127.0.0.1:*") as publisher, listening(publisher) as subscriber:

        def make_player(name: str) -> EnginePlayer:
            def make_sink(smoothing: str | None) -> ZmqSink:
                return ZmqSink(publisher, name=name, smoothing=smoothing)

            config = EngineConfig(pace=True, workers=1)
            return EnginePlayer(name, lambda: clip(loop=True), make_sink, Network(before), config=lambda _: config)

        players = {name: make_player(name) for name in ("cam1", "cam2", "cam3")}
        for player in players.values():
            player.start()
        wait_until(lambda: all(player.report().frames > 5 for player in players.values()))
        assert before.stats.pictures > 15
        players["cam3"].stop()  # ends; the others neither wait for it nor change
        assert players["cam3"].join(60)
        for name in ("cam1", "cam2"):
            players[name].change(model=after)
        moved: set[str] = set()
        while moved != {"cam1", "cam2"}:
            moved.add(follow(subscriber, lambda message: message.model == "after").feed)
        wait_until(lambda: all(players[name].report().sessions == 2 for name in ("cam1", "cam2")))
        pictures = before.stats.pictures
        count = after.stats.pictures
        wait_until(lambda: after.stats.pictures > count + 20)
        assert before.stats.pictures == pictures
        for player in players.values():
            player.stop()
            assert player.join(60)
            assert player.failure is None


@contextmanager
def steered(*players: Player) -> Iterator[ControlClient]:
    def load(name: str) -> ToyModel:
        model = ToyModel()
        model.info = replace(model.info, name=name)  # type: ignore[misc]
        return model

    def end() -> None:
        for player in players:
            player.stop()

    with ControlServer(Steering(players, load, end), "tcp://127.0.0.1:*") as server:
        yield ControlClient(server.endpoint)


def test_the_control_channel_reports_pauses_seeks_loops_changes_and_quits() -> None:
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        listening(publisher) as subscriber,
        playing(publisher, lambda: clip(loop=True), EngineConfig(pace=True)) as player,
        steered(player) as client,
    ):
        follow(subscriber, lambda message: message.sequence == 10)
        (feed,) = client.request("status")["feeds"]  # type: ignore[misc]
        assert (feed["feed"], feed["width"], feed["loop"], feed["dropped"]) == ("cam1", 16, True, 0)  # type: ignore[index]
        assert client.request("feeds")["feeds"][0]["location"].startswith("synthetic:")  # type: ignore[index]

        assert client.request("pause", paused=True) == {"feeds": ["cam1"]}
        wait_until(lambda: subscriber.status()["cam1"].state == "paused")

        def stands_still() -> bool:
            held = player.report().frames
            time.sleep(5 * STEP)
            return player.report().frames == held

        wait_until(stands_still)  # once what was under way has come
        client.request("seek", feed="cam1", seconds=0.3)
        client.request("pause", paused=False)
        sought = follow(subscriber, lambda message: message.pts == 30 and message.discontinuity)

        assert client.request("size", pixels=128)["feeds"] == ["cam1"]
        assert client.request("temporal", preset="light")["feeds"] == ["cam1"]
        assert client.request("model", name="other")["license"] == "none"
        changed = follow(subscriber, lambda message: message.model == "other")
        assert changed.session != sought.session
        assert changed.smoothing == "light"
        assert player.report().size == 128

        client.request("loop", enabled=False)
        client.request("quit")
        assert player.join(60)


def test_frames_that_were_dropped_are_told_with_their_times() -> None:
    class Slow(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            time.sleep(4 * STEP)
            return super().__call__(images_bchw)

    def make_sink(smoothing: str | None) -> ZmqSink:
        return ZmqSink(publisher, name="cam1", smoothing=smoothing)

    with Publisher("tcp://127.0.0.1:*") as publisher:
        player = EnginePlayer(
            "cam1",
            lambda: Playback(lambda _: ToyCamera(10_000)),
            make_sink,
            Network(Slow(), temporal="off"),
            config=lambda _: EngineConfig(policy="live", workers=1),
        )
        player.start()
        wait_until(lambda: player.report().dropped > 20)
        player.stop()
        assert player.join(60)
    report = player.report()
    assert 0 < len(report.dropped_pts) <= 16
    assert list(report.dropped_pts) == sorted(set(report.dropped_pts))


def test_the_control_channel_explains_what_it_refuses() -> None:
    with (
        Publisher("tcp://127.0.0.1:*") as publisher,
        playing(publisher, lambda: Playback(lambda _: ToyCamera(10_000)), EngineConfig(policy="live")) as player,
        steered(player) as client,
    ):
        for expected, operation, arguments in [
            ("there is no feed 'cam9'; there are: cam1", "pause", {"feed": "cam9", "paused": True}),
            ("is live: it cannot be sought in", "seek", {"seconds": 1.0}),
            ("is live: it cannot be played in a loop", "loop", {"enabled": True}),
            ("unknown preset 'wobbly'; known: off, minimal", "temporal", {"preset": "wobbly"}),
        ]:
            with pytest.raises(WireError, match=expected):
                client.request(operation, **arguments)  # type: ignore[arg-type]
        assert player.report().sessions == 1


@pytest.fixture
def take(tmp_path: Path) -> Path:
    maker = MessageMaker(toy_feed(), MessageOptions())
    with Recorder(tmp_path / "take.mkv") as recorder:
        for frame in toy_frames():
            recorder.write(maker.frame(frame))
    return tmp_path / "take.mkv"


def test_a_recording_plays_with_identical_values_and_times_at_its_own_speed(take: Path) -> None:
    recorded = list(read_recording(take))
    with Publisher("tcp://127.0.0.1:*") as publisher, listening(publisher) as subscriber:
        player = RecordingPlayer("again", take, publisher)
        begin = time.monotonic()
        player.start()
        received = list(subscriber)
        elapsed = time.monotonic() - begin
        assert player.join(60)
    assert [message.pts for message in received] == [message.pts for message in recorded]
    for new, old in zip(received, recorded, strict=True):
        assert new.depth.codes.tobytes() == old.depth.codes.tobytes()
        assert (new.depth.low, new.depth.high, new.intrinsics) == (old.depth.low, old.depth.high, old.intrinsics)
        assert new.color.pixels.tobytes() == old.color.pixels.tobytes()  # type: ignore[union-attr]
    assert {message.session for message in received}.isdisjoint({message.session for message in recorded})
    assert {message.feed for message in received} == {"again"}
    assert elapsed >= recorded[-1].pts_seconds - recorded[0].pts_seconds
    assert (player.report().state, player.report().frames) == ("ended", len(recorded))


def test_a_recording_loops_pauses_and_jumps_but_has_its_depth(take: Path) -> None:
    recorded = list(read_recording(take))
    with Publisher("tcp://127.0.0.1:*") as publisher, listening(publisher) as subscriber:
        player = RecordingPlayer("again", take, publisher, loop=True)
        player.start()
        again = follow(subscriber, lambda message: message.sequence == len(recorded))
        assert (again.pts, again.discontinuity) == (recorded[0].pts, True)
        player.pause(paused=True)
        wait_until(lambda: player.report().state == "paused")
        late = recorded[-1].pts_seconds - recorded[0].pts_seconds
        player.seek(late)
        player.pause(paused=False)
        assert follow(subscriber, lambda message: message.pts == recorded[-1].pts).discontinuity
        with pytest.raises(ValueError, match="again is a recording: its depth is what it was"):
            player.change(temporal="off")
        with pytest.raises(ValueError, match=r"take.mkv ends at 0.\d\d s; cannot go to 60 s"):
            player.seek(60)
        player.stop()
        assert player.join(60)


def test_a_moment_of_a_recording_is_counted_through_its_sessions(tmp_path: Path) -> None:
    path = tmp_path / "take.mkv"
    with Recorder(path) as recorder:
        for _ in range(3):
            maker = MessageMaker(toy_feed(), MessageOptions())
            for frame in toy_frames():
                recorder.write(maker.frame(frame))
    recorded = list(read_recording(path))
    count = len(recorded) // 3
    length = recorded[count - 1].pts_seconds - recorded[0].pts_seconds
    with Publisher("tcp://127.0.0.1:*") as publisher, listening(publisher) as subscriber:
        player = RecordingPlayer("again", path, publisher)
        player.seek(2.1 * length)  # early in the third session, where times begin anew
        player.start()
        received = list(subscriber)
        assert player.join(60)
    assert count / 2 < len(received) <= count
    assert received[-1].depth.codes.tobytes() == recorded[-1].depth.codes.tobytes()
