import random
import time

import numpy as np
import pytest
import torch

from dptstream.engine import Engine, EngineConfig, Progress
from dptstream.engine.backend import HostBackend
from dptstream.engine.slots import Slot, SlotState
from dptstream.errors import DeviceError, EngineError, SourceError
from dptstream.frames import DepthFrame
from dptstream.sinks import FeedInfo, MemorySink

from .toys import LateBackend, ToyModel, ToySource, toy_image


def reference(count: int, sizes: tuple[tuple[int, int], ...] = ((12, 16),)) -> list[np.ndarray]:
    return [ToyModel().predict(toy_image(index, *sizes[index % len(sizes)])) for index in range(count)]


def assert_frames_equal(sink: MemorySink, expected: list[np.ndarray]) -> None:
    assert [frame.video.sequence for frame in sink.frames] == list(range(len(expected)))
    for frame, depth in zip(sink.frames, expected, strict=True):
        np.testing.assert_array_equal(frame.depth, depth)


def test_sequential_run_gives_the_depth_of_every_frame_in_order() -> None:
    sink = MemorySink()
    report = Engine(ToySource(7), ToyModel(), [sink], config=EngineConfig(pipelined=False)).run()
    assert_frames_equal(sink, reference(7))
    assert report.progress.frames == 7
    assert sink.complete is True


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_pipelined_run_equals_the_sequential_one_under_random_delays_and_poisoned_buffers(workers: int) -> None:
    delays = random.Random(workers)
    config = EngineConfig(
        workers=workers, poison=True, probe=lambda _stage, _sequence: time.sleep(delays.random() * 0.003)
    )
    sink = MemorySink()
    Engine(ToySource(60, sizes=((12, 16), (9, 5))), ToyModel(), [sink], config=config).run()
    assert_frames_equal(sink, reference(60, ((12, 16), (9, 5))))


@pytest.mark.parametrize("seed", range(3))
def test_asynchronous_streams_with_poisoned_buffers_give_the_sequential_result(seed: int) -> None:
    sink = MemorySink()
    config = EngineConfig(slots=3, poison=True)
    Engine(ToySource(40), ToyModel(), [sink], config=config, backend=LateBackend(seed)).run()
    assert_frames_equal(sink, reference(40))


@pytest.mark.parametrize("edge", ["uploaded", "inferred", "downloaded"])
def test_leaving_out_any_one_event_shows_in_the_result(edge: str) -> None:
    sink = MemorySink()
    backend = LateBackend(1, broken_edge=edge)
    engine = Engine(ToySource(40), ToyModel(), [sink], config=EngineConfig(slots=3, poison=True), backend=backend)

    def run_and_compare() -> None:
        engine.run()
        assert_frames_equal(sink, reference(40))

    with pytest.raises((AssertionError, EngineError)):
        run_and_compare()


def test_pts_and_time_base_reach_the_sink_untouched() -> None:
    sink = MemorySink()
    Engine(ToySource(5), ToyModel(), [sink]).run()
    assert [(frame.video.pts, frame.video.time_base.denominator) for frame in sink.frames] == [
        (index * 3, 75) for index in range(5)
    ]


def test_slots_refuse_a_step_out_of_order() -> None:
    slot = Slot(0, LateBackend())
    with pytest.raises(RuntimeError, match="slot 0 cannot go from FREE to READY"):
        slot.advance(SlotState.READY)


def test_buffers_are_reused_while_the_size_stays() -> None:
    addresses: set[int] = set()

    class Watch(ToyModel):
        def preprocess(self, rgb_bhwc: torch.Tensor, input_hw: tuple[int, int]) -> torch.Tensor:
            addresses.add(rgb_bhwc.data_ptr())
            return super().preprocess(rgb_bhwc, input_hw)

    Engine(ToySource(50), Watch(), [MemorySink()], config=EngineConfig(slots=3, workers=1)).run()
    assert len(addresses) <= 3


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_failing_source_names_stage_and_frame(pipelined: bool) -> None:
    sink = MemorySink()
    with pytest.raises(EngineError, match=r"decode, frame 4: broken tape") as caught:
        Engine(ToySource(9, fail_at=4), ToyModel(), [sink], config=EngineConfig(pipelined=pipelined)).run()
    assert (caught.value.stage, caught.value.sequence) == ("decode", 4)
    assert isinstance(caught.value.__cause__, ValueError)
    assert sink.complete is False


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_failing_model_names_stage_and_frame(pipelined: bool) -> None:
    config = EngineConfig(pipelined=pipelined, workers=1)
    with pytest.raises(EngineError, match="infer, frame 3: no such depth"):
        Engine(ToySource(9), ToyModel(fail_at_call=3), [MemorySink()], config=config).run()


def test_running_out_of_memory_says_what_to_do() -> None:
    model = ToyModel(fail_at_call=0, error=torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(
        EngineError, match=r"out of memory on cpu for a picture of 16x12: use a smaller --size"
    ) as caught:
        Engine(ToySource(2), model, [MemorySink()]).run()
    assert isinstance(caught.value.__cause__, DeviceError)


class BrokenBackend(HostBackend):
    """Fails whatever it is asked at the end, as a card does once it broke down."""

    def close(self) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_device_that_broke_down_does_not_hide_where_it_did() -> None:
    backend = BrokenBackend(torch.device("cpu"))
    with pytest.raises(EngineError, match="infer, frame 3: no such depth"):
        Engine(
            ToySource(9),
            ToyModel(fail_at_call=3),
            [MemorySink()],
            config=EngineConfig(pipelined=False),
            backend=backend,
        ).run()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        Engine(ToySource(9), ToyModel(), [MemorySink()], config=EngineConfig(pipelined=False), backend=backend).run()


class FullSink(MemorySink):
    """Refuses its third frame."""

    def write(self, frame: DepthFrame) -> None:
        if len(self.frames) == 2:
            raise OSError(28, "No space left on device")
        super().write(frame)


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_failing_sink_ends_the_run_and_every_sink_is_closed(pipelined: bool) -> None:
    full, other = FullSink(), MemorySink()
    with pytest.raises(EngineError, match=r"write, frame 2: .*No space left"):
        Engine(ToySource(99), ToyModel(), [full, other], config=EngineConfig(pipelined=pipelined)).run()
    assert full.complete is False
    assert other.complete is False


def test_a_source_without_frames_is_an_error() -> None:
    with pytest.raises(SourceError, match="toy: holds no frame"):
        Engine(ToySource(0), ToyModel(), [MemorySink()]).run()


def test_stop_finishes_the_frames_in_flight_and_says_so() -> None:
    sink = MemorySink()

    def stop_at_the_tenth(stage: str, sequence: int) -> None:
        if (stage, sequence) == ("infer", 10):
            engine.stop()

    engine = Engine(ToySource(10_000), ToyModel(), [sink], config=EngineConfig(probe=stop_at_the_tenth))
    report = engine.run()
    assert report.stopped
    assert 0 < len(sink.frames) < 10_000
    assert sink.complete is False
    assert_frames_equal(sink, reference(len(sink.frames)))


def test_a_resumed_sink_gets_only_the_frames_it_needs() -> None:
    class Half(MemorySink):
        next_sequence = 5

    sink = Half()
    Engine(ToySource(9), ToyModel(), [sink]).run()
    assert [frame.video.sequence for frame in sink.frames] == [5, 6, 7, 8]


def test_cuts_found_while_decoding_mark_the_right_frames() -> None:
    class Cuts:
        def __init__(self) -> None:
            self.seen = -1

        def step(self, rgb_hwc: object) -> bool:
            self.seen += 1
            return self.seen in {3, 6}

    sink = MemorySink()
    Engine(ToySource(9), ToyModel(), [sink], cut_detector=Cuts()).run()
    assert [frame.video.sequence for frame in sink.frames if frame.scene_cut] == [3, 6]


def test_the_feed_tells_sinks_the_model_the_camera_and_the_settings() -> None:
    sink = MemorySink()
    Engine(ToySource(1), ToyModel(), [sink], settings={"size": 518}).run()
    assert isinstance(sink.feed, FeedInfo)
    assert sink.feed.model["name"] == "toy"
    assert sink.feed.intrinsics.origin == "default"
    assert sink.feed.settings == {"size": 518}


def test_progress_counts_frames_and_names_the_slowest_stage() -> None:
    seen: list[Progress] = []

    def slow_write(stage: str, _sequence: int) -> None:
        if stage == "infer":
            time.sleep(0.1)

    Engine(ToySource(10), ToyModel(), [MemorySink()], config=EngineConfig(workers=1, probe=slow_write)).run(seen.append)
    assert seen[-1].frames == 10
    assert seen[-1].limiting_stage == "infer"
    assert seen[-1].busy_ms["infer"] >= 100
