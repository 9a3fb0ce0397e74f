import time
from dataclasses import replace

import numpy as np
import pytest

from dptstream.engine.endurance import (
    NullSink,
    Pictures,
    idle_share,
    measure_endurance,
    measure_latency,
    resident_bytes,
    slope,
    usual_loop,
)
from dptstream.frames import VideoFrame
from dptstream.sinks import MemorySink
from tests.waiting import shortest

from .toys import ToyModel, ToySource, toy_image


def pictures() -> list[VideoFrame]:
    return list(ToySource(4))


def test_pictures_start_over_with_times_that_go_on() -> None:
    frames = list(Pictures(pictures(), 10))
    assert [frame.sequence for frame in frames] == list(range(10))
    assert np.array_equal(frames[6].image, toy_image(2))
    assert [float(frame.pts_seconds) for frame in frames[:3]] == [0.0, 0.04, 0.08]


def test_paced_pictures_age_from_when_they_were_due_however_late_they_are_asked_for() -> None:
    frames = iter(Pictures(pictures(), 3, rate_fps=100.0))
    first = next(frames)
    time.sleep(0.05)
    second, third = next(frames), next(frames)
    assert second.captured_ns - first.captured_ns == third.captured_ns - second.captured_ns == 10_000_000
    assert time.monotonic_ns() - second.captured_ns >= 35_000_000


def test_a_network_that_keeps_up_loses_little_and_one_that_does_not_loses_much() -> None:
    quick = measure_latency(ToyModel(), pictures(), rate_fps=50.0, frames=20)
    assert quick.sent == 20
    assert 0 < quick.p50_ms <= quick.p95_ms <= quick.p99_ms <= quick.max_ms

    class Slow(ToyModel):
        def __call__(self, images_bchw):
            time.sleep(0.1)
            return super().__call__(images_bchw)

    def inferred() -> float:
        slow = measure_latency(Slow(), pictures(), rate_fps=50.0, frames=20)
        assert slow.p50_ms >= 100
        return slow.inferred

    assert shortest(inferred, 12) < 12


def test_endurance_counts_every_frame_and_what_only_a_gpu_has_is_absent() -> None:
    found = measure_endurance(ToyModel(), pictures(), frames=40)
    assert found.frames == 40
    assert found.fps > 0
    assert (found.memory_slope is None) == (resident_bytes() is None)
    assert found.device_allocations_a_frame is None
    assert found.idle_share is None


@pytest.mark.parametrize(
    ("spans", "share"),
    [([(0, 1), (1, 2)], 0.0), ([(0, 1), (3, 4)], 0.5), ([(0, 4), (1, 2), (3, 5), (9, 10)], 0.4), ([], 0.0)],
)
def test_idle_is_what_no_span_covers(spans: list[tuple[float, float]], share: float) -> None:
    assert idle_share(spans) == pytest.approx(share)


def test_a_slope_is_found_in_noise_and_is_zero_where_nothing_grows() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 400)
    assert slope([5.0] * 10) == 0
    assert slope([1.0]) == 0
    assert slope(list(np.arange(400) * 3 + noise)) == pytest.approx(3, abs=0.01)


def test_the_usual_loop_gives_the_same_depth() -> None:
    sink = MemorySink()
    usual_loop(ToySource(5), ToyModel(), sink, frames=3)
    assert [frame.video.sequence for frame in sink.frames] == [0, 1, 2]
    assert sink.complete
    for number, frame in enumerate(sink.frames):
        assert np.array_equal(frame.depth, ToyModel().predict(toy_image(number)))


def test_a_null_sink_tells_ages_only_of_frames_that_were_captured() -> None:
    sink = NullSink()
    for frame in (pictures()[0], replace(pictures()[1], captured_ns=time.monotonic_ns())):
        sink.write(_depth_of(frame))
    assert (sink.written, len(sink.latencies_ns)) == (2, 1)


def _depth_of(frame: VideoFrame):
    from dptstream.frames import DepthFrame

    return DepthFrame(np.zeros((3, 4), np.float32), ToyModel.info.kind, frame, "bilinear")
