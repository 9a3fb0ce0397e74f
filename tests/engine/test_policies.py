"""Which frames are inferred, and when: every one, the newest, those in time; at a clip's own speed; paused."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from torch import Tensor

from dptstream.engine import Engine, EngineConfig, RunReport, loop
from dptstream.engine.intake import Intake, Pacer
from dptstream.errors import EngineError
from dptstream.frames import VideoFrame
from dptstream.sinks import MemorySink
from dptstream.temporal import TemporalConfig
from tests.waiting import PATIENCE_SECONDS, shortest, wait_until

from .toys import LateBackend, ToyModel, ToySource, toy_image

STEP = 0.01


class ToyCamera(ToySource):
    """Gives a frame each STEP seconds, whoever takes it; pts counts milliseconds.

    ``before(number)`` is called before each frame, and may wait.
    """

    def __init__(
        self,
        count: int,
        *,
        jump_at: int | None = None,
        fail_at: int | None = None,
        before: Callable[[int], object] = lambda _: None,
    ) -> None:
        super().__init__(count, fail_at=fail_at)
        self.info = replace(self.info, live=True, frame_count=None, time_base=Fraction(1, 1000))
        self.given = 0
        self.ended = False
        self._jump_at, self._before = jump_at, before

    def __iter__(self) -> Iterator[VideoFrame]:
        for frame in super().__iter__():
            if self.closed:
                return
            time.sleep(STEP)
            self._before(frame.sequence)
            self.given += 1
            yield replace(
                frame,
                pts=frame.sequence * 10,
                time_base=Fraction(1, 1000),
                captured_ns=time.monotonic_ns(),
                discontinuity=frame.sequence == self._jump_at,
            )
        self.ended = True


class SlowModel(ToyModel):
    """Takes as long as ``camera`` takes for so many frames, and notes how many there were when it began."""

    def __init__(self, camera: ToyCamera, frames: int) -> None:
        super().__init__()
        self._camera, self._frames = camera, frames
        self.began: list[int] = []

    def __call__(self, images_bchw: Tensor) -> Tensor:
        now = self._camera.given
        self.began.append(now)
        wait_until(lambda: self._camera.ended or self._camera.given >= now + self._frames)
        return super().__call__(images_bchw)


def run_live(source: ToySource, model: ToyModel, sink: MemorySink, **options: object) -> RunReport:
    config = EngineConfig(policy="live", workers=1, **options)  # type: ignore[arg-type]
    return Engine(source, model, [sink], config=config).run()


def numbers(sink: MemorySink) -> list[int]:
    return [frame.video.sequence for frame in sink.frames]


def test_live_infers_the_newest_frames_in_order_and_counts_the_others() -> None:
    sink, camera = MemorySink(), ToyCamera(60)
    model = SlowModel(camera, 4)
    report = run_live(camera, model, sink)
    given = numbers(sink)
    assert camera.given == 60  # the source was read on
    assert given == sorted(set(given))
    assert 1 < len(given) < 40
    assert report.progress.received == 60
    assert report.progress.drops.replaced == 60 - len(given)
    assert len(model.began) == len(given)  # nothing was dropped after inference
    expected_pts = [number * 10 for number in range(60) if number not in given]
    assert list(report.progress.drops.recent_pts) == expected_pts
    for frame in sink.frames:
        np.testing.assert_array_equal(frame.depth, ToyModel().predict(toy_image(frame.video.sequence)))


def test_live_frames_do_not_grow_old_however_slow_the_network_is() -> None:
    def usual_age() -> float:
        """How many frames newer the camera's is than the one that inference begins with."""
        sink, camera = MemorySink(), ToyCamera(80)
        model = SlowModel(camera, 5)
        report = run_live(camera, model, sink)
        assert report.progress.latency_ms is not None
        assert numbers(sink)[-1] == 79  # what is newest at the end is inferred, too
        return float(np.median(np.array(model.began) - 1 - numbers(sink)))

    # One inference of the frame before, and some for a busy machine; in a queue it would be 40 in the middle.
    assert shortest(usual_age, 13) < 13


def test_live_drops_nothing_when_the_network_keeps_up() -> None:
    sink = MemorySink()
    camera = ToyCamera(20, before=lambda number: wait_until(lambda: len(sink.frames) == number))
    report = run_live(camera, ToyModel(), sink)
    assert numbers(sink) == list(range(20))
    assert report.progress.drops.total == 0


def test_live_gives_right_depth_on_an_asynchronous_device_with_poisoned_buffers() -> None:
    sink = MemorySink()

    def close_after_some(number: int) -> None:
        camera.closed = len(sink.frames) > 10

    # Long enough that frames follow once the toy device has recorded its work.
    camera = ToyCamera(6000, before=close_after_some)
    config = EngineConfig(policy="live", poison=True)
    Engine(camera, ToyModel(), [sink], config=config, backend=LateBackend(1)).run()
    assert len(sink.frames) > 10
    for frame in sink.frames:
        np.testing.assert_array_equal(frame.depth, ToyModel().predict(toy_image(frame.video.sequence)))


def test_lossless_infers_every_frame_of_a_source_faster_than_the_network() -> None:
    sink, camera = MemorySink(), ToyCamera(15)
    report = Engine(camera, SlowModel(camera, 1), [sink], config=EngineConfig(workers=1)).run()
    assert numbers(sink) == list(range(15))
    assert report.progress.drops.total == 0


def test_frames_older_than_the_deadline_are_dropped_before_inference() -> None:
    class StaleCamera(ToyCamera):
        def __iter__(self) -> Iterator[VideoFrame]:
            for frame in super().__iter__():
                stale = frame.sequence % 2 == 1
                yield replace(frame, captured_ns=frame.captured_ns - int(3600e9)) if stale else frame

    sink = MemorySink()
    camera = StaleCamera(20, before=lambda number: wait_until(lambda: len(sink.frames) == (number + 1) // 2))
    model = SlowModel(camera, 0)
    report = run_live(camera, model, sink, deadline_ms=1_800_000)
    assert numbers(sink) == list(range(0, 20, 2))
    assert report.progress.drops.late > 0
    assert len(model.began) == len(sink.frames) == 20 - report.progress.drops.total


def test_a_jump_before_a_dropped_frame_is_told_with_the_next_one_that_is_kept() -> None:
    sink, camera = MemorySink(), ToyCamera(40, jump_at=21)
    run_live(camera, SlowModel(camera, 6), sink)
    jumped = [frame.video.sequence for frame in sink.frames if frame.video.discontinuity]
    assert jumped == [next(number for number in numbers(sink) if number >= 21)]


def test_smoothing_goes_by_the_times_of_the_frames_that_are_left() -> None:
    live, camera = MemorySink(), ToyCamera(30)
    run_live(camera, SlowModel(camera, 3), live, temporal=TemporalConfig())
    kept = {frame.video.sequence for frame in live.frames}
    assert len(kept) < 30

    class Thinned(ToyCamera):
        def __iter__(self) -> Iterator[VideoFrame]:
            yield from (frame for frame in super().__iter__() if frame.sequence in kept)

    thinned = MemorySink()
    config = EngineConfig(temporal=TemporalConfig(), workers=1)
    Engine(Thinned(30), ToyModel(), [thinned], config=config).run()
    for dropped, absent in zip(live.frames, thinned.frames, strict=True):
        np.testing.assert_array_equal(dropped.depth, absent.depth)


@pytest.mark.parametrize("policy", ["live", "lossless"])
def test_pace_plays_a_file_at_its_own_speed_and_stamps_its_frames(policy: str) -> None:
    config = EngineConfig(policy=policy, pace=True)  # type: ignore[arg-type]

    def play() -> float:
        sink = MemorySink()
        begin = time.monotonic()
        Engine(ToySource(11), ToyModel(), [sink], config=config).run()
        elapsed = time.monotonic() - begin
        stamps = [frame.video.captured_ns for frame in sink.frames]
        assert 0.38e9 <= stamps[-1] - stamps[0] <= elapsed * 1e9
        return elapsed

    assert 0.39 <= shortest(play, 2) < 2  # ten steps of 1/25 s


def test_without_pace_a_file_plays_as_fast_as_it_goes() -> None:
    sink = MemorySink()
    Engine(ToySource(200), ToyModel(), [sink]).run()  # 8 s at its own speed
    assert sink.frames[-1].video.captured_ns == 0


def test_a_pacer_goes_on_at_the_same_distance_where_a_clip_begins_again() -> None:
    def unevenness() -> float:
        pacer, times = Pacer(lambda: False), []
        for pts, jumped in [(0.0, False), (0.05, False), (0.1, False), (0.0, True), (0.05, False)]:
            pacer.wait(pts, jumped=jumped)
            times.append(time.monotonic())
        return float(np.abs(np.diff(times) - 0.05).max())

    assert shortest(unevenness, 0.04, tries=20) < 0.04


def test_a_paused_file_stands_still_and_goes_on_without_loss() -> None:
    sink, source = MemorySink(), ToySource(20)
    engine = Engine(source, ToyModel(), [sink], config=EngineConfig(pace=True))
    engine.pause()
    thread = threading.Thread(target=engine.run)
    thread.start()
    time.sleep(0.3)
    assert not sink.frames
    engine.pause(paused=False)
    thread.join(PATIENCE_SECONDS)
    assert numbers(sink) == list(range(20))


def test_who_lets_a_run_go_on_as_it_begins_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[threading.Thread] = []

    def go_on_just_now(intake: Intake, paused: bool) -> None:
        if paused and not others:
            others.append(threading.Thread(target=engine.pause, kwargs={"paused": False}))
            others[0].start()
            others[0].join(0.2)  # as far as it comes
        intake.__dict__["paused"] = paused

    sink = MemorySink()
    engine = Engine(ToySource(5), ToyModel(), [sink])
    engine.pause()
    monkeypatch.setattr(
        Intake, "paused", property(lambda intake: intake.__dict__["paused"], go_on_just_now), raising=False
    )
    assert engine.run().progress.frames == 5
    others[0].join()


def test_a_paused_camera_goes_by() -> None:
    def go_on(number: int) -> None:
        if number == 20:
            engine.pause(paused=False)

    sink, camera = MemorySink(), ToyCamera(40, before=go_on)
    engine = Engine(camera, ToyModel(), [sink], config=EngineConfig(policy="live"))
    engine.pause()
    report = engine.run()
    assert numbers(sink)[0] >= 19
    assert camera.given == report.progress.received == 40


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("policy", ["live", "lossless"])
def test_stop_ends_a_run_at_once(policy: str, paused: bool) -> None:
    sink = MemorySink()
    engine = Engine(ToySource(10_000), ToyModel(), [sink], config=EngineConfig(policy=policy, pace=True))  # type: ignore[arg-type]
    engine.pause(paused=paused)
    threading.Timer(0.2, engine.stop).start()
    assert engine.run().stopped  # else it would take 400 s, or for ever
    assert len(sink.frames) < 10_000


def test_stop_closes_no_source_that_another_run_may_go_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.0)

    class SlowToEnd(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            engine.stop()
            time.sleep(0.5)
            return super().__call__(images_bchw)

    source = ToySource(100)
    engine = Engine(source, SlowToEnd(), [MemorySink()], config=EngineConfig(workers=1))
    assert engine.run().stopped
    assert not source.closed


def test_stop_ends_a_read_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.05)
    closed = threading.Event()

    class Silent(ToySource):
        def __iter__(self) -> Iterator[VideoFrame]:
            yield from super().__iter__()
            engine.stop()
            closed.wait()

        def close(self) -> None:
            closed.set()

    engine = Engine(Silent(5), ToyModel(), [MemorySink()])
    assert engine.run().stopped


def test_stop_ends_a_live_run_though_the_camera_has_gone_silent() -> None:
    silent = threading.Event()

    class SilentCamera(ToyCamera):
        def __iter__(self) -> Iterator[VideoFrame]:
            yield from super().__iter__()
            threading.Timer(0.1, engine.stop).start()
            silent.wait()

    camera = SilentCamera(5)
    engine = Engine(camera, ToyModel(), [MemorySink()], config=EngineConfig(policy="live"))
    assert engine.run().stopped  # although its reader still waits
    assert camera.ended
    silent.set()


def test_a_camera_that_fails_ends_a_live_run_with_its_error() -> None:
    with pytest.raises(EngineError, match=r"decode, frame \d+: broken tape"):
        run_live(ToyCamera(9, fail_at=4), ToyModel(), MemorySink())


def test_a_sink_that_fails_ends_a_live_run() -> None:
    class FullDisk(MemorySink):
        def write(self, frame: object) -> None:
            raise OSError("disk full")

    with pytest.raises(EngineError, match=r"write, frame \d+: disk full"):
        run_live(ToyCamera(10_000), ToyModel(), FullDisk())


def test_a_deadline_is_refused_where_nothing_may_be_dropped() -> None:
    with pytest.raises(ValueError, match="a deadline drops frames: it needs the live policy"):
        EngineConfig(deadline_ms=50)
    with pytest.raises(ValueError, match="deadline_ms must be positive; got 0"):
        EngineConfig(policy="live", deadline_ms=0)
