"""What only a CUDA device can show: real streams give the sequential result, without allocating or waiting."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dptstream.engine import Engine, EngineConfig
from dptstream.engine.batching import BatchPolicy
from dptstream.engine.sharing import SharedModel
from dptstream.sinks import MemorySink

from .test_batching import together
from .toys import ToyModel, ToySource

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is here"),
]


class CudaToyModel(ToyModel):
    device = torch.device("cuda")

    def __call__(self, images_bchw: torch.Tensor) -> torch.Tensor:
        depth = super().__call__(images_bchw)
        for _ in range(20):  # enough work that a missing event would show
            depth = depth + torch.ones_like(depth) - 1
        return depth


def test_three_cuda_streams_give_the_sequential_result() -> None:
    sinks = {pipelined: MemorySink() for pipelined in (True, False)}
    for pipelined, sink in sinks.items():
        source = ToySource(200, sizes=((270, 480), (108, 192)))
        Engine(source, CudaToyModel(), [sink], config=EngineConfig(pipelined=pipelined, poison=True)).run()
    for overlapped, reference in zip(sinks[True].frames, sinks[False].frames, strict=True):
        np.testing.assert_array_equal(overlapped.depth, reference.depth)


def test_the_card_gives_no_memory_and_takes_no_wait_in_steady_state() -> None:
    segments: list[int] = []
    torch.cuda.set_sync_debug_mode("error")
    try:

        def watch(stage: str, sequence: int) -> None:
            if stage == "write" and sequence >= 20:
                segments.append(torch.cuda.memory_stats()["segment.all.allocated"])

        Engine(
            ToySource(120, sizes=((270, 480),)), CudaToyModel(), [MemorySink()], config=EngineConfig(probe=watch)
        ).run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(set(segments)) == 1


def test_feeds_that_share_a_network_on_one_stream_get_what_they_would_get_alone() -> None:
    sizes = ((270, 480),)
    alone = MemorySink()
    Engine(ToySource(60, sizes=sizes), CudaToyModel(), [alone], config=EngineConfig(pipelined=False)).run()
    shared = SharedModel(CudaToyModel(), BatchPolicy(wait_seconds=0.01))
    sinks = [MemorySink() for _ in range(3)]

    def play(sink: MemorySink) -> None:
        source, config = ToySource(60, sizes=sizes), EngineConfig(poison=True, batch=1)
        Engine(source, shared.new_feed(), [sink], config=config, backend=shared.new_backend()).run()

    with ThreadPoolExecutor() as pool:
        list(pool.map(play, sinks))
    assert shared.stats.pictures == 180
    for sink in sinks:
        for frame, expected in zip(sink.frames, alone.frames, strict=True):
            np.testing.assert_array_equal(frame.depth, expected.depth)


def test_a_pass_shared_on_the_card_gives_each_feed_its_own_depth() -> None:
    shared = SharedModel(CudaToyModel(), BatchPolicy(wait_seconds=0.0))
    backend = shared.new_backend()
    images = [torch.full((1, 3, 270, 480), float(feed), device="cuda") for feed in range(4)]
    torch.cuda.synchronize()
    depths: list[torch.Tensor] = []
    backend.compute.run(lambda: depths.extend(together(shared, [shared.new_feed() for _ in images], images)))
    torch.cuda.synchronize()
    assert shared.stats.mean_batch == 4
    for feed, depth_bhw in enumerate(depths):
        assert depth_bhw.unique().tolist() == [feed * (1 + 256 + 65536)]
