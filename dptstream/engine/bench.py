"""Honest figures: what each stage costs alone, what a whole run reaches, and how near that is to its bound.

The bound: with an accelerator, the slowest stage alone; on a CPU, where the stages share the cores, the number of
cores divided by the stages' summed CPU time a frame. Runs with and without the pipeline are interleaved, so that
whatever else the machine does falls on both alike.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import TracebackType
from typing import Self

import torch

from ..frames import DepthFrame, VideoFrame
from ..models.base import DepthModel
from ..sinks.base import Sink
from ..sources.base import Source, SourceInfo, SourceStats
from ..temporal import TemporalConfig
from .config import EngineConfig
from .device import cpu_count
from .endurance import Endurance, Latency, measure_endurance, measure_latency, usual_loop
from .engine import Engine, describe_feed
from .loop import CutDetector
from .smoothing import Smoother

WARM_UP_FRAMES = 3
"""Frames run before anything is timed."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured: how to open the input afresh, the model, and where depth goes."""

    open_source: Callable[[], Source]
    """Opens the input at its first frame."""
    model: DepthModel
    """The network on its device."""
    make_sink: Callable[[], Sink]
    """Makes a sink with nothing written yet."""
    make_cut_detector: Callable[[], CutDetector]
    """Makes a fresh cut detector; its cost counts as decoding, with which it shares a thread."""
    temporal: TemporalConfig | None = None
    """How depth is smoothed; None leaves it as it is."""
    size: int | None = None
    """The network's size; None is the model's own."""
    frames: int = 60
    """How many frames of the input are used, at most."""
    endurance_frames: int = 300
    """Frames of the engine's run without files; 0 leaves it out."""
    rate_fps: float | None = None
    """Rate at which frames come where latency is measured; None is 0.7 of the network's own, 60 frames/s at most."""
    reference: DepthModel | None = None
    """The same weights as most programs run them: PyTorch, float32. Where given, their usual loop is measured as well."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage costs when it runs alone."""

    cpu_ms: float
    """CPU time a frame, all threads added, milliseconds."""
    wall_ms: float
    """Wall time a frame, milliseconds."""


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The figures of one workload."""

    picture_hw: tuple[int, int]
    """Height and width of the pictures."""
    network_hw: tuple[int, int]
    """Height and width the network worked at."""
    frames: int
    """Frames of each run."""
    cores: int
    """Cores this process may use."""
    stages: dict[str, StageCost]
    """Cost of ``decode``, ``infer``, ``smooth`` and ``write``, each alone."""
    decode_fps: float
    """Frames/s of decoding alone."""
    model_fps: float
    """Frames/s of preprocessing and network alone, on all cores (or the accelerator), pictures at hand."""
    pipelined_fps: list[float]
    """Frames/s end to end with the pipeline, one figure a round; opening and closing the sink included."""
    sequential_fps: list[float]
    """Frames/s end to end with one stage after the other and all cores in the network, one figure a round."""
    bound_fps: float
    """What no program could exceed with these stages on this machine; see the module's text."""
    endurance: Endurance | None = None
    """The engine from pictures in memory to nowhere."""
    latency: Latency | None = None
    """Age of depth when frames come at a fixed rate."""
    usual_fps: list[float] = field(default_factory=list)
    """Frames/s of the usual loop (read, infer, write in sequence; PyTorch float32), one figure a round; may be empty."""

    @property
    def end_to_end_fps(self) -> float:
        """Median of ``pipelined_fps``."""
        return statistics.median(self.pipelined_fps)

    @property
    def ratio_to_bound(self) -> float:
        """End to end over bound: 1 means that the machine is the limit, not the program."""
        return self.end_to_end_fps / self.bound_fps

    @property
    def ratio_to_model(self) -> float:
        """End to end over model alone."""
        return self.end_to_end_fps / self.model_fps

    @property
    def engine_to_model(self) -> float | None:
        """The engine without files over the network alone."""
        return None if self.endurance is None else self.endurance.fps / self.model_fps

    @property
    def gain_over_usual(self) -> float | None:
        """Median ratio of the interleaved rounds, ours over the usual loop."""
        if not self.usual_fps:
            return None
        return statistics.median(ours / usual for ours, usual in zip(self.pipelined_fps, self.usual_fps, strict=True))

    @property
    def pipeline_gain(self) -> float:
        """Median ratio of the interleaved rounds with and without the pipeline."""
        return statistics.median(
            with_it / without for with_it, without in zip(self.pipelined_fps, self.sequential_fps, strict=True)
        )


def run_bench(workload: Workload, *, rounds: int = 3, say: Callable[[str], None] = lambda _: None) -> BenchReport:
    """Measure a workload: each stage alone, then ``rounds`` interleaved whole runs of either kind."""
    say("decode alone")
    with workload.open_source() as source:
        info = source.info
        pictures, decode = _measure_decode(source, workload)
    say("network alone")
    depths, infer = _measure_infer(pictures, workload)
    model_fps = _measure_model_fps(pictures, workload)
    say("smoothing alone")
    smooth = _measure_smooth(depths, workload)
    say("writing alone")
    write = _measure_write(depths, workload, info)
    endurance, latency = _measure_without_files(pictures, model_fps, workload, say)
    pipelined_fps: list[float] = []
    sequential_fps: list[float] = []
    usual_fps: list[float] = []
    for number in range(rounds):
        say(f"whole runs, round {number + 1} of {rounds}")
        sequential_fps.append(_measure_run(workload, len(pictures), pipelined=False))
        pipelined_fps.append(_measure_run(workload, len(pictures), pipelined=True))
        if workload.reference is not None:
            usual_fps.append(_measure_usual(workload, workload.reference, len(pictures)))
    stages = {"decode": decode, "infer": infer, "smooth": smooth, "write": write}
    first = pictures[0]
    return BenchReport(
        picture_hw=(first.height, first.width),
        network_hw=workload.model.input_size_hw((first.height, first.width), size=workload.size),
        frames=len(pictures),
        cores=cpu_count(),
        stages=stages,
        decode_fps=1000 / decode.wall_ms,
        model_fps=model_fps,
        pipelined_fps=pipelined_fps,
        sequential_fps=sequential_fps,
        bound_fps=_bound_fps(stages, model_fps, on_cpu=workload.model.device.type == "cpu"),
        endurance=endurance,
        latency=latency,
        usual_fps=usual_fps,
    )


def _bound_fps(stages: dict[str, StageCost], model_fps: float, *, on_cpu: bool) -> float:
    if on_cpu:
        return cpu_count() * 1000 / sum(stage.cpu_ms for stage in stages.values())
    return min(model_fps, 1000 / stages["decode"].wall_ms, 1000 / stages["write"].wall_ms)


class _Timer:
    """Wall and process CPU time between two points."""

    def __init__(self) -> None:
        self._wall_ns, self._cpu_ns = time.perf_counter_ns(), time.process_time_ns()

    def cost(self, frames: int) -> StageCost:
        wall_ns, cpu_ns = time.perf_counter_ns() - self._wall_ns, time.process_time_ns() - self._cpu_ns
        return StageCost(cpu_ms=cpu_ns / 1e6 / frames, wall_ms=wall_ns / 1e6 / frames)


def _measure_decode(source: Source, workload: Workload) -> tuple[list[VideoFrame], StageCost]:
    """Decode with the cut detector; the pictures are copied after the clock stops, a few at a time."""
    pictures: list[VideoFrame] = []
    detector = workload.make_cut_detector()
    timer = _Timer()
    decoded = 0
    for frame in islice(source, workload.frames):
        detector.step(frame.image)
        decoded += 1
        pictures.append(frame)
    cost = timer.cost(max(1, decoded))
    if not pictures:
        raise ValueError("the input holds no frame to measure with")
    return [replace(frame, image=frame.image.copy()) for frame in pictures], cost


def _infer_one(workload: Workload, frame: VideoFrame) -> torch.Tensor:
    model = workload.model
    rgb = torch.from_numpy(frame.image).to(model.device)
    input_hw = model.input_size_hw((frame.height, frame.width), size=workload.size)
    return model(model.preprocess(rgb[None], input_hw))[0]


def _measure_infer(pictures: Sequence[VideoFrame], workload: Workload) -> tuple[list[DepthFrame], StageCost]:
    """Run the network over every picture with one thread, as one of the engine's workers does."""
    model = workload.model
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    depths: list[DepthFrame] = []
    try:
        with torch.no_grad():
            for frame in pictures[:WARM_UP_FRAMES]:
                _infer_one(workload, frame).cpu()
            timer = _Timer()
            for frame in pictures:
                depth = _infer_one(workload, frame).cpu().numpy()
                depths.append(DepthFrame(depth, model.info.kind, frame, model.info.output_resize))
            return depths, timer.cost(len(pictures))
    finally:
        torch.set_num_threads(before)


def _measure_model_fps(pictures: Sequence[VideoFrame], workload: Workload) -> float:
    """Frames/s of the network alone with the engine's number of workers."""
    device = workload.model.device
    config = EngineConfig()
    workers = config.workers_for(device)
    share = [pictures[index::workers] for index in range(workers)]

    def work(frames: Sequence[VideoFrame]) -> None:
        if device.type == "cpu":
            torch.set_num_threads(config.threads_for(device))
        with torch.no_grad():
            for frame in frames:
                _infer_one(workload, frame)

    threads = [threading.Thread(target=work, args=(frames,)) for frames in share]
    _synchronize(device)
    timer = _Timer()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _synchronize(device)
    return 1000 / timer.cost(len(pictures)).wall_ms


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _measure_smooth(depths: Sequence[DepthFrame], workload: Workload) -> StageCost:
    """Smooth on the CPU and measure flicker, as a run on the CPU does."""
    smoother = Smoother(workload.temporal, torch.device("cpu"), on_device=False) if workload.temporal else None
    timer = _Timer()
    for depth in depths:
        if smoother is not None:
            smoother.measure(depth, smoother.smooth(depth))
    return timer.cost(len(depths))


def _measure_write(depths: Sequence[DepthFrame], workload: Workload, info: SourceInfo) -> StageCost:
    still = replace(info, frame_count=len(depths), has_audio=False)
    feed = describe_feed(still, workload.model.info)
    sink = workload.make_sink()
    timer = _Timer()
    sink.open(feed)
    for depth in depths:
        sink.write(depth)
    sink.close(complete=True)
    return timer.cost(len(depths))


def _measure_without_files(
    pictures: Sequence[VideoFrame], model_fps: float, workload: Workload, say: Callable[[str], None]
) -> tuple[Endurance | None, Latency | None]:
    if workload.endurance_frames < 1:
        return None, None
    model, size, frames = workload.model, workload.size, workload.endurance_frames
    say("engine without files")
    endurance = measure_endurance(model, pictures, frames=frames, size=size)
    say("latency at a fixed rate")
    rate_fps = workload.rate_fps or min(60.0, 0.7 * model_fps)
    return endurance, measure_latency(model, pictures, rate_fps=rate_fps, frames=frames, size=size)


class _FirstFrames:
    """The first frames of a source, as a source."""

    def __init__(self, source: Source, frames: int) -> None:
        self._source, self._frames = source, frames
        self.info: SourceInfo = replace(source.info, frame_count=frames, has_audio=False)

    @property
    def stats(self) -> SourceStats:
        return self._source.stats

    def __iter__(self) -> Iterator[VideoFrame]:
        return islice(self._source, self._frames)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _measure_run(workload: Workload, frames: int, *, pipelined: bool) -> float:
    """Frames/s of one whole run."""
    with _FirstFrames(workload.open_source(), frames) as source:
        engine = Engine(
            source,
            workload.model,
            [workload.make_sink()],
            config=EngineConfig(size=workload.size, pipelined=pipelined, temporal=workload.temporal),
            cut_detector=workload.make_cut_detector(),
        )
        timer = _Timer()
        engine.run()
        return 1000 / timer.cost(frames).wall_ms


@torch.no_grad()
def _measure_usual(workload: Workload, reference: DepthModel, frames: int) -> float:
    """Frames/s of the usual loop over the same input, into the same kind of sink."""
    with _FirstFrames(workload.open_source(), frames) as source:
        timer = _Timer()
        usual_loop(source, reference, workload.make_sink(), frames=frames, size=workload.size)
        return 1000 / timer.cost(frames).wall_ms
