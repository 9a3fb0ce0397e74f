"""The engine without files: its rate, what frames wait at a fixed rate, whether memory grows; and the usual loop.

Pictures lie in memory and depth goes nowhere, so nothing but the engine and the network is measured.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Self

import torch

from ..frames import DepthFrame, VideoFrame
from ..models.base import DepthModel
from ..sinks.base import FeedInfo, Sink
from ..sources.base import Source, SourceInfo, SourceStats
from .config import EngineConfig
from .engine import Engine, describe_feed

_TICK = Fraction(1, 1_000_000)
_WARM_UP_SHARE = 0.25
"""Of a run, before which memory is not looked at."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long frames take that come at a fixed rate, whether or not the engine keeps up."""

    rate_fps: float
    """Frames/s that came."""
    sent: int
    """Frames that came."""
    inferred: int
    """Frames whose depth went out; the others were replaced by newer ones."""
    p50_ms: float
    """Median of the time from when a frame was due to when its depth was out, milliseconds."""
    p95_ms: float
    """95th percentile."""
    p99_ms: float
    """99th percentile."""
    max_ms: float
    """The longest."""


@dataclass(frozen=True, slots=True)
class Endurance:
    """The engine from pictures in memory to nowhere."""

    frames: int
    """Frames of the run."""
    fps: float
    """Frames/s."""
    memory_slope: float | None
    """Growth of the process's memory after the first quarter, bytes a frame; None where the system does not tell."""
    blocks_a_frame: float
    """Python objects that a frame leaves behind."""
    device_allocations_a_frame: float | None
    """Allocations of device memory a frame after the first quarter; None on the CPU, whose allocator does not count."""
    idle_share: float | None
    """Share of the time in which the GPU ran nothing; None without CUDA."""


class Pictures:
    """Pictures in memory as a source that starts over until it has given ``count`` frames.

    With a rate it is live: each frame comes when it is due, and carries that moment as when it was captured, however
    late its reader asks. Waiting frames thus count as old, not as late to come.
    """

    def __init__(self, pictures: Sequence[VideoFrame], count: int, *, rate_fps: float | None = None) -> None:
        """Give ``count`` frames of ``pictures``, at ``rate_fps`` or as fast as they are read."""
        first = pictures[0]
        self.info = SourceInfo(
            "memory", "memory:", first.width, first.height, _TICK, frame_count=count, live=rate_fps is not None
        )
        self.stats = SourceStats()
        self._pictures, self._count, self._rate_fps = pictures, count, rate_fps
        self._closed = False

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield the frames."""
        step_ns = int(1e9 / (self._rate_fps or 25))
        started_ns = time.monotonic_ns()
        for sequence in range(self._count):
            due_ns = 0
            if self._rate_fps is not None:
                due_ns = started_ns + sequence * step_ns
                time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            if self._closed:
                return
            picture = self._pictures[sequence % len(self._pictures)]
            self.stats.decoded += 1
            yield replace(
                picture, sequence=sequence, pts=sequence * step_ns // 1000, time_base=_TICK, captured_ns=due_ns
            )

    def close(self) -> None:
        """Give no further frame."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NullSink:
    """A sink that looks at the clock and forgets.

    Attributes:
        latencies_ns: For each frame that says when it was captured, the time since then.
        marks: What ``each`` returned, by frame.
    """

    def __init__(self, each: Callable[[], int] | None = None) -> None:
        """Call ``each`` at every frame."""
        self.latencies_ns: list[int] = []
        self.marks: list[int] = []
        self.written = 0
        self._each = each

    @property
    def next_sequence(self) -> int:
        """Always 0."""
        return 0

    def open(self, feed: FeedInfo) -> None:
        """Do nothing."""

    def write(self, frame: DepthFrame) -> None:
        """Look at the clock."""
        self.written += 1
        if frame.video.captured_ns:
            self.latencies_ns.append(time.monotonic_ns() - frame.video.captured_ns)
        if self._each is not None:
            self.marks.append(self._each())

    def note(self, name: str, value: object) -> None:
        """Do nothing."""

    def warn(self, line: str) -> None:
        """Do nothing."""

    def close(self, *, complete: bool) -> None:
        """Do nothing."""


def measure_endurance(
    model: DepthModel, pictures: Sequence[VideoFrame], *, frames: int, size: int | None = None
) -> Endurance:
    """Run ``frames`` pictures through the engine."""
    allocated: list[int] = []

    def look() -> int:
        allocated.append(_device_allocations(model.device))
        return resident_bytes() or 0

    sink = NullSink(look)
    with Pictures(pictures, frames) as source:
        engine = Engine(source, model, [sink], config=EngineConfig(size=size))
        blocks, started_ns = sys.getallocatedblocks(), time.perf_counter_ns()
        engine.run()
        seconds = (time.perf_counter_ns() - started_ns) / 1e9
        # Two numbers are kept here for each frame: what look() gave.
        left_behind = max(0.0, (sys.getallocatedblocks() - blocks) / frames - 2)
    start = int(len(sink.marks) * _WARM_UP_SHARE)
    on_cuda = model.device.type == "cuda"
    return Endurance(
        frames=frames,
        fps=frames / seconds,
        memory_slope=slope(sink.marks[start:]) if resident_bytes() is not None else None,
        blocks_a_frame=left_behind,
        device_allocations_a_frame=(allocated[-1] - allocated[start]) / max(1, frames - 1 - start) if on_cuda else None,
        idle_share=measure_idle(model, pictures, size=size) if on_cuda else None,
    )


def measure_latency(
    model: DepthModel, pictures: Sequence[VideoFrame], *, rate_fps: float, frames: int, size: int | None = None
) -> Latency:
    """Let pictures come at a fixed rate, as a camera's do, and see how old their depth is."""
    sink = NullSink()
    with Pictures(pictures, frames, rate_fps=rate_fps) as source:
        Engine(source, model, [sink], config=EngineConfig(size=size, policy="live")).run()
    ordered_ms = sorted(latency_ns / 1e6 for latency_ns in sink.latencies_ns)
    p50, p95, p99 = (ordered_ms[round(share * (len(ordered_ms) - 1))] for share in (0.5, 0.95, 0.99))
    return Latency(rate_fps, frames, len(ordered_ms), p50, p95, p99, ordered_ms[-1])


def measure_idle(
    model: DepthModel, pictures: Sequence[VideoFrame], *, size: int | None = None, frames: int = 100
) -> float:
    """Return the share of the time in which a CUDA device ran nothing, between the first and the last thing it ran."""
    from torch.profiler import DeviceType, ProfilerActivity, profile

    with Pictures(pictures, frames) as source, profile(activities=[ProfilerActivity.CUDA]) as profiler:
        Engine(source, model, [NullSink()], config=EngineConfig(size=size)).run()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == DeviceType.CUDA
    ]
    return idle_share(spans)


def idle_share(spans: Sequence[tuple[float, float]]) -> float:
    """Return the share of the whole that no span (start, end) covers; 0 where there is no span."""
    covered, end = 0.0, -float("inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    whole = end - min((start for start, _ in spans), default=end)
    return 1 - covered / whole if whole > 0 else 0.0


def slope(values: Sequence[float]) -> float:
    """Return the growth a step of the straight line that fits best; 0 for fewer than two values."""
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, sum(values) / count
    return sum((index - middle) * (value - mean) for index, value in enumerate(values)) / sum(
        (index - middle) ** 2 for index in range(count)
    )


def usual_loop(source: Source, model: DepthModel, sink: Sink, *, frames: int, size: int | None = None) -> None:
    """Read, infer and write one frame after the other in this thread, copying each on its way, as most programs do."""
    feed = describe_feed(source.info, model.info)
    sink.open(replace(feed, frame_count=frames, has_audio=False))
    for number, frame in enumerate(source):
        if number == frames:
            break
        rgb_hwc = frame.image.copy()
        images_bchw = model.preprocess(
            torch.from_numpy(rgb_hwc)[None].to(model.device),
            model.input_size_hw((frame.height, frame.width), size=size),
        )
        depth_hw = model(images_bchw)[0].cpu().numpy().copy()
        sink.write(DepthFrame(depth_hw, model.info.kind, frame, model.info.output_resize, scene_cut=number == 0))
    sink.close(complete=True)


def resident_bytes() -> int | None:
    """Return the memory this process holds, bytes; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _device_allocations(device: torch.device) -> int:
    return int(torch.cuda.memory_stats(device)["allocation.all.allocated"]) if device.type == "cuda" else 0
