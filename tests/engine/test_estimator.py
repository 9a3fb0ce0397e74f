"""Work for a device that runs by itself: recorded once a size, in batches, with smoothing, in the published codes."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor

from dptstream.engine import Engine, EngineConfig, RunReport
from dptstream.engine.backend import HostBackend
from dptstream.engine.notes import Notes
from dptstream.engine.precision import Safeguard
from dptstream.engine.slots import Slot
from dptstream.engine.stages import upload
from dptstream.engine.yuv import rgb_from_yuv
from dptstream.frames import VideoFrame, YuvForm, YuvPicture
from dptstream.sinks import MemorySink
from dptstream.temporal import TemporalConfig

from .toys import LateBackend, ToyModel, ToySource, toy_image

SIZE = (12, 16)


class HalfSink(MemorySink):
    takes_float16 = True


def run(
    source: ToySource, backend: LateBackend | None = None, *, model: ToyModel | None = None, **options: object
) -> tuple[MemorySink, RunReport]:
    sink = options.pop("sink", None) or MemorySink()
    report = Engine(source, model or ToyModel(), [sink], config=EngineConfig(**options), backend=backend).run()
    return sink, report


def assert_same_depth(one: MemorySink, other: MemorySink, **tolerance: float) -> None:
    assert [frame.video.sequence for frame in one.frames] == [frame.video.sequence for frame in other.frames]
    for left, right in zip(one.frames, other.frames, strict=True):
        np.testing.assert_allclose(left.depth, right.depth, **(tolerance or {"rtol": 0}))


def test_work_is_recorded_once_for_each_size_and_repeated() -> None:
    calls: list[int] = []

    class Counting(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            calls.append(1)
            return super().__call__(images_bchw)

    backend = LateBackend()
    sink, report = run(ToySource(20, sizes=(SIZE, (9, 5))), backend, model=Counting(), poison=True, batch=1)
    assert_same_depth(sink, run(ToySource(20, sizes=(SIZE, (9, 5))), pipelined=False)[0])
    assert backend.recordings == 2
    assert len(calls) == 2 * 3  # step by step the first time, a trial run, and the recording
    assert report.warnings == []


def test_what_cannot_be_recorded_goes_out_step_by_step_and_is_told() -> None:
    backend = LateBackend(refuses="CUDA error: operation not permitted when stream is capturing\nmore")
    sink, report = run(ToySource(12), backend, poison=True, batch=1)
    assert_same_depth(sink, run(ToySource(12), pipelined=False)[0])
    (line,) = report.warnings
    assert line.startswith("work for meta goes out step by step, as it cannot be recorded: CUDA error")
    assert "\n" not in line


def test_nothing_is_recorded_where_the_model_or_the_user_says_no() -> None:
    class Remembering(ToyModel):
        recordable = False

    for model, graphs in ((Remembering(), True), (ToyModel(), False)):
        backend = LateBackend()
        sink, _ = run(ToySource(6), backend, model=model, graphs=graphs)
        assert_same_depth(sink, run(ToySource(6), pipelined=False)[0])
        assert backend.recordings == 0


@pytest.mark.parametrize("count", [1, 7, 12])
def test_batches_give_what_frames_give_one_by_one(count: int) -> None:
    shapes: list[int] = []

    class Watching(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            shapes.append(len(images_bchw))
            return super().__call__(images_bchw)

    sink, _ = run(ToySource(count), LateBackend(), model=Watching(), batch=4, poison=True)
    assert_same_depth(sink, run(ToySource(count), pipelined=False)[0])
    assert set(shapes) == {size for size in (4 if count >= 4 else 0, count % 4) if size}


def test_pictures_of_different_sizes_never_share_a_batch() -> None:
    sink, _ = run(ToySource(11, sizes=(SIZE, SIZE, (9, 5))), LateBackend(), batch=4, poison=True)
    assert_same_depth(sink, run(ToySource(11, sizes=(SIZE, SIZE, (9, 5))), pipelined=False)[0])


def test_a_batch_that_does_not_fit_goes_one_by_one() -> None:
    class Small(ToyModel):
        def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
            if len(rgb_bhwc) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().preprocess(rgb_bhwc, input_hw)

    sink, report = run(ToySource(9), AtOnceBackend(), model=Small(), batch=4)
    assert_same_depth(sink, run(ToySource(9), pipelined=False)[0])
    assert report.warnings == ["4 pictures at once did not fit the device's memory and went one by one (2 times)"]


class AtOnceBackend(LateBackend):
    """Fails where a card does: as work is submitted, not later."""

    def __init__(self) -> None:
        super().__init__()
        late = self.compute

        class AtOnce:
            def run(self, work) -> None:
                work()

            def __getattr__(self, name: str):
                return getattr(late, name)

            def wait(self, event) -> None:
                event.synchronize()

        self.compute = AtOnce()


@pytest.mark.parametrize("batch", [1, 4])
def test_a_recording_that_does_not_fit_leaves_work_going_out_step_by_step(batch: int) -> None:
    class Full(AtOnceBackend):
        def record(self, work) -> NoReturn:
            raise torch.OutOfMemoryError("CUDA out of memory")

    sink, report = run(ToySource(13), Full(), batch=batch)
    assert_same_depth(sink, run(ToySource(13), pipelined=False)[0])
    line = "work for meta goes out step by step: recorded, it does not fit its memory"
    assert report.warnings[-1] == line
    assert len(report.warnings) == (1 if batch == 1 else 2)


class MovingSource(ToySource):
    """A ramp whose brightness jumps, so that there is something to smooth, with a cut announced by a jump."""

    def __iter__(self) -> Iterator[VideoFrame]:
        for frame in super().__iter__():
            ramp = np.linspace(40, 200, frame.height)[:, None, None] + 20 * (frame.sequence % 3)
            image = np.broadcast_to(ramp, frame.image.shape).astype(np.uint8)
            yield replace(frame, image=image, pts=frame.sequence * 3, discontinuity=frame.sequence == 7)


@pytest.mark.parametrize("batch", [1, 3])
def test_smoothing_is_part_of_the_recording(batch: int) -> None:
    options = {"temporal": TemporalConfig(), "poison": True}
    sizes = ((40, 64),)
    backend = LateBackend()
    recorded, _ = run(MovingSource(20, sizes=sizes), backend, batch=batch, **options)
    stepwise, _ = run(MovingSource(20, sizes=sizes), LateBackend(1), batch=batch, graphs=False, **options)
    on_host, _ = run(MovingSource(20, sizes=sizes), pipelined=False, **options)
    assert backend.recordings >= 1
    assert_same_depth(recorded, stepwise)
    reach = float(np.ptp(on_host.frames[0].depth))
    assert_same_depth(recorded, on_host, atol=0.02 * reach, rtol=0)
    rough, _ = run(MovingSource(20, sizes=sizes), pipelined=False)
    changes = [np.abs(one.depth - raw.depth).max() for one, raw in zip(recorded.frames, rough.frames, strict=True)]
    assert changes[0] == changes[7] == 0  # shots begin with the network's own depth
    assert max(changes) > 0.05 * reach


def test_sinks_that_publish_sixteen_bits_get_them_from_the_device() -> None:
    class Small(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            return super().__call__(images_bchw) / 65536

    exact, _ = run(ToySource(8), LateBackend(), model=Small())
    rounded, _ = run(ToySource(8), LateBackend(), model=Small(), sink=HalfSink())
    for frame, code in zip(exact.frames, rounded.frames, strict=True):
        np.testing.assert_array_equal(code.depth, frame.depth.astype(np.float16))
        assert code.depth.dtype == np.float32


def test_values_that_sixteen_bits_cannot_hold_come_whole() -> None:
    sink, report = run(ToySource(8), LateBackend(), sink=HalfSink())
    assert_same_depth(sink, run(ToySource(8), pipelined=False)[0])
    assert any("computed again in float32" in line for line in report.warnings)


class Overflowing(ToyModel):
    """Gives no numbers in half precision from the fourth frame on, as a network that overflows."""

    dtype = torch.float16
    recordable = False

    def __call__(self, images_bchw: Tensor) -> Tensor:
        depth = super().__call__(images_bchw)
        return depth if self._calls <= 3 else depth * torch.nan

    def with_dtype(self, dtype: torch.dtype) -> ToyModel:
        assert dtype is torch.float32
        return ToyModel()


@pytest.mark.parametrize("late", [False, True])
def test_a_network_that_overflows_goes_on_in_float32(late: bool) -> None:
    sink, report = run(ToySource(20), LateBackend() if late else None, model=Overflowing(), workers=1)
    assert_same_depth(sink, run(ToySource(20), pipelined=False)[0])
    (line,) = report.warnings
    assert line.startswith("depth overflowed in float16: computed again in float32")


def test_a_network_in_float32_is_used_only_when_its_weights_are_there() -> None:
    """It is made in the thread that writes, on a stream that nobody else waits for."""
    told: list[str] = []

    class Made(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            told.append("computed again")
            return super().__call__(images_bchw)

    class Seat(Made):
        """Stands in for a shared network's: a pass through its queue would run on another stream."""

        model = Made()

        def __call__(self, images_bchw: Tensor) -> Tensor:
            raise AssertionError("asked for a pass together with other feeds")

    class Half(Overflowing):
        def with_dtype(self, dtype: torch.dtype) -> ToyModel:
            return Seat()

    safeguard = Safeguard(Half(), None, Notes(), lambda _model: told.append("used from now on"))
    slot = Slot(0, HostBackend(torch.device("cpu")))
    slot.load(VideoFrame(toy_image(0), 0, 0, Fraction(1, 25)), None)
    slot.output_like(torch.full((1, *SIZE), torch.nan))
    for _ in range(2):
        depths_nhw = safeguard.sound(slot, np.full((1, *SIZE), np.nan, np.float32))
        assert np.isfinite(depths_nhw).all()
    assert told == ["computed again", "used from now on", "computed again"]


def test_infinities_of_a_float32_network_are_its_own() -> None:
    class Endless(ToyModel):
        def __call__(self, images_bchw: Tensor) -> Tensor:
            return super().__call__(images_bchw) + torch.inf

    sink, report = run(ToySource(3), model=Endless())
    assert np.isinf(sink.frames[2].depth).all()
    assert report.warnings == []


class YuvSource(ToySource):
    """Pictures that come both as RGB and as the decoder's planes, which say something else."""

    form = YuvForm(*SIZE, "bt709", full_range=False)

    def __iter__(self) -> Iterator[VideoFrame]:
        for frame in super().__iter__():
            luma = torch.from_numpy(toy_image(1000 + frame.sequence)[..., 0].copy())
            u, v = (torch.from_numpy(toy_image(channel, 6, 8)[..., 0].copy()) for channel in (1, 2))
            yield replace(frame, native=YuvPicture(self.form, luma, (u, v)))

    def expected(self, sequence: int) -> np.ndarray:
        planes = torch.empty(self.form.byte_count, dtype=torch.uint8)
        (frame,) = [frame for frame in self if frame.sequence == sequence]
        frame.native.copy_to(planes)
        return ToyModel().predict(rgb_from_yuv(planes[None], self.form)[0].numpy())


def test_a_device_gets_the_decoders_planes_and_the_cpu_the_rgb() -> None:
    on_device, _ = run(YuvSource(9), LateBackend(), batch=2, poison=True)
    for sequence in (0, 4, 8):
        np.testing.assert_array_equal(on_device.frames[sequence].depth, YuvSource(9).expected(sequence))
    assert_same_depth(run(YuvSource(9))[0], run(ToySource(9))[0])
    assert all(frame.video.native is None for frame in on_device.frames)


@pytest.mark.parametrize("batch", [0, -2])
def test_a_batch_of_nothing_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="batch must be at least 1; got"):
        EngineConfig(batch=batch)


def test_a_picture_that_the_cards_decoder_made_is_copied_there_and_given_back_at_once() -> None:
    asked: list[str] = []

    class Decoding(LateBackend):
        def wait_for_decoder(self) -> None:
            asked.append("wait")

    class OnCard:
        form = YuvForm(*SIZE, "bt709", full_range=False)
        luma = SimpleNamespace(is_cuda=True)

        def copy_to(self, planes: Tensor, *, non_blocking: bool = False) -> None:
            asked.append("copy")
            assert non_blocking
            planes.fill_(7)

    backend = Decoding()
    slot = Slot(0, backend)
    (frame,) = ToySource(1)
    slot.load(replace(frame, native=OnCard()), None)
    assert asked == ["wait", "copy"]  # done when ``load`` returns: the decoder has few such pictures
    slot.host_input.fill_(3)
    upload(slot, backend)
    slot.uploaded.synchronize()
    backend.close()
    assert set(slot.device_input.tolist()) == {7}
    assert slot.frame.native is None


def test_batches_are_automatic_where_a_card_has_room_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    card, free = torch.device("cuda"), [8 * 2**30]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free[0], 24 * 2**30))
    assert EngineConfig().batch_for(card) == 4
    assert EngineConfig(batch=2).batch_for(card) == 2
    for config in (EngineConfig(policy="live"), EngineConfig(pace=True), EngineConfig(pipelined=False)):
        assert config.batch_for(card) == 1
    assert EngineConfig().batch_for(card, in_order=True) == 1
    free[0] = 4 * 2**30
    assert EngineConfig().batch_for(card) == 1
