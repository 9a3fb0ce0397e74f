"""Real networks on a CUDA device: recorded, in batches, compiled and in half precision they give what they should."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dptstream.engine import Engine, EngineConfig, RunReport
from dptstream.engine.endurance import NullSink, Pictures, resident_bytes, slope
from dptstream.engine.yuv import rgb_from_yuv
from dptstream.frames import VideoFrame, YuvForm
from dptstream.models.network import NetworkModel
from dptstream.sinks import MemorySink
from dptstream.sources import SourceOptions, open_source
from dptstream.temporal import TemporalConfig
from tests.media import write_video
from tests.models.families import NETWORKS, small_model, small_size_hw

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is here"),
]

RECORDABLE = [name for name in NETWORKS if name != "video"]


def on_card(name: str, dtype: torch.dtype = torch.float16) -> NetworkModel:
    model = small_model(name)
    model.network.to("cuda", dtype)
    return NetworkModel(model.network, model.info, model.preprocessing)


def pictures(count: int = 12) -> list[VideoFrame]:
    with open_source(f"synthetic:width=192,height=128,frames={count}") as source:
        return [replace(frame, image=frame.image.copy()) for frame in source]


def run(model: NetworkModel, frames: list[VideoFrame], **config: object) -> tuple[list[np.ndarray], RunReport]:
    sink = MemorySink()
    with Pictures(frames, len(frames)) as source:
        report = Engine(source, model, [sink], config=EngineConfig(size=112, **config)).run()
    return [frame.depth for frame in sink.frames], report


def assert_near(ones: list[np.ndarray], others: list[np.ndarray], share: float) -> None:
    reach = max(float(np.ptp(other)) for other in others)
    for one, other in zip(ones, others, strict=True):
        assert np.abs(one - other).max() <= share * reach


@pytest.mark.parametrize("name", RECORDABLE)
@pytest.mark.parametrize("temporal", [None, TemporalConfig()])
def test_a_recording_repeats_what_goes_out_step_by_step(name: str, temporal: TemporalConfig | None) -> None:
    model, frames = on_card(name), pictures()
    recorded, report = run(model, frames, batch=1, temporal=temporal, poison=True)
    stepwise, _ = run(model, frames, batch=1, temporal=temporal, graphs=False)
    assert report.warnings == []  # it was recorded indeed
    assert_near(recorded, stepwise, 2e-3)


def test_the_pipelined_run_equals_the_sequential_one() -> None:
    model, frames = on_card("v2"), pictures(40)
    pipelined, _ = run(model, frames, batch=1, temporal=TemporalConfig(), poison=True)
    sequential, _ = run(model, frames, pipelined=False, temporal=TemporalConfig())
    for one, other in zip(pipelined, sequential, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", RECORDABLE)
def test_batches_give_the_same_to_rounding(name: str) -> None:
    model, frames = on_card(name), pictures(11)
    together, report = run(model, frames, batch=4, poison=True)
    alone, _ = run(model, frames, batch=1)
    assert report.warnings == []
    assert_near(together, alone, 2e-2)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 2e-3), (torch.float16, 2e-2), (torch.bfloat16, 8e-2)])
def test_every_precision_stays_near_the_processors_float32(name: str, dtype: torch.dtype, share: float) -> None:
    picture = torch.randn(1, 3, *small_size_hw(name), generator=torch.Generator().manual_seed(1))
    expected = small_model(name)(picture).numpy()
    given = on_card(name, dtype)(picture.cuda())
    assert given.dtype == torch.float32
    assert np.abs(given.cpu().numpy() - expected).mean() <= share * np.ptp(expected)


@pytest.mark.parametrize("temporal", [None, TemporalConfig()])
def test_no_frame_asks_for_memory_or_makes_the_host_wait(temporal: TemporalConfig | None) -> None:
    model, allocations = on_card("v2"), []

    def look() -> int:
        allocations.append(int(torch.cuda.memory_stats()["allocation.all.allocated"]))
        if len(allocations) == 40:  # tables are there, and work was recorded
            torch.cuda.set_sync_debug_mode("error")
        return 0

    try:
        with Pictures(pictures(), 120) as source:
            config = EngineConfig(size=112, batch=1, temporal=temporal)
            report = Engine(source, model, [NullSink(look)], config=config).run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert report.warnings == []
    assert {after - before for before, after in pairwise(allocations[40:])} == {0}


def test_memory_stays_flat_over_ten_thousand_frames() -> None:
    model, host, card = on_card("v2"), [], []

    def look() -> int:
        host.append(resident_bytes() or 0)
        card.append(torch.cuda.memory_reserved())
        return 0

    with Pictures(pictures(), 10_000) as source:
        Engine(source, model, [NullSink(look)], config=EngineConfig(size=112, temporal=TemporalConfig())).run()
    assert len(set(card[1000:])) == 1
    assert slope(host[1000:]) < 200  # bytes a frame


def test_a_network_that_overflows_goes_on_in_float32() -> None:
    model, frames = on_card("v2", torch.float32), pictures()
    # Beyond what float16 holds, until the next convolution but one undoes it.
    model.network.head.conv_1.register_forward_hook(lambda _module, _inputs, output: output * 1e8)
    model.network.head.depth.conv_2.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 1e-8,))
    exact, _ = run(model, frames, batch=1)
    given, report = run(model.with_dtype(torch.float16), frames, batch=1)
    assert any(line.startswith("depth overflowed in float16: computed again in float32") for line in report.warnings)
    assert all(np.isfinite(depth).all() for depth in given)
    assert_near(given, exact, 2e-2)


def test_compiled_networks_stay_near_the_others() -> None:
    model, frames = on_card("v2"), pictures()
    compiled, report = run(model, frames, batch=1, compile="on")
    plain, _ = run(model, frames, batch=1)
    if report.warnings:  # no compiler on this machine: then it says so, and nothing else changes
        assert all(line.startswith("the network runs uncompiled: ") for line in report.warnings)
    assert_near(compiled, plain, 5e-2)


@pytest.mark.parametrize("full_range", [False, True])
def test_the_card_converts_colours_as_the_processor_does(full_range: bool) -> None:
    form = YuvForm(270, 480, "bt709", full_range)
    stored = torch.randint(0, 256, (2, form.byte_count), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(rgb_from_yuv(stored.cuda(), form).cpu(), rgb_from_yuv(stored, form))


def test_the_cards_decoder_gives_the_processors_pictures_or_says_that_it_did_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    moving = [np.roll(random.integers(0, 256, (144, 256, 3), np.uint8), 4 * step, axis=1) for step in range(40)]
    path, model = write_video(tmp_path / "clip.mp4", moving), on_card("v2")
    depths = {}
    for card in (None, 0):
        sink = MemorySink()
        with open_source(str(path), SourceOptions(native=True, card=card)) as source:
            Engine(source, model, [sink], config=EngineConfig(size=112, batch=1, poison=True)).run()
            stats = source.stats
        depths[card] = [frame.depth for frame in sink.frames]
    if stats.decoded_on_card < stats.decoded:
        assert any(line.startswith("pictures are decoded on the processor: ") for line in stats.warnings)
    assert_near(depths[0], depths[None], 1e-2)  # H.264 says what every decoder must give, to the bit
