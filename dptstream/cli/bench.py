"""``dptstream bench``: what each stage costs on this machine, and how near a whole run comes to its bound."""

import json
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .convert import Format, OutputFlags
from .flags import ModelFlags

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from ..engine.bench import BenchReport
    from ..engine.endurance import Endurance, Latency
    from ..models import DepthModel


@dataclass(frozen=True)
class Bench:
    """Measure what each stage costs, the engine alone, latency at a fixed rate, and whole runs of convert, interleaved.

    Do it on a machine that does nothing else. What the figures mean is said in benchmarks/README.md.
    """

    input: Annotated[str, tyro.conf.Positional] = "synthetic:"
    """A video, or synthetic: for a test scene."""
    frames: int = 60
    """Frames of the input used, at most."""
    rounds: int = 3
    """Whole runs of either kind."""
    format: tuple[Format, ...] = ("exr", "preview")
    """What the whole runs write, to a temporary folder."""
    temporal: Literal["off", "minimal", "light", "default", "strong"] = "default"
    """How depth is steadied over time in the whole runs."""
    compare: bool = False
    """Run the usual loop beside it: read, infer and write in sequence, PyTorch float32, on the same weights."""
    endurance: Annotated[int, tyro.conf.arg(metavar="FRAMES")] = 300
    """Frames of the engine's runs without files, for its own rate, memory and latency; 0 leaves them out."""
    rate: Annotated[float | None, tyro.conf.arg(metavar="FPS")] = None
    """Frames/s that come where latency is measured; the default is 0.7 of what the network does, 60 at most."""
    network: ModelFlags = field(default_factory=ModelFlags)
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Measure and print."""
        if self.frames < 1 or self.rounds < 1:
            raise ValueError(f"--frames and --rounds must be at least 1; got {self.frames} and {self.rounds}")
        if self.endurance < 0 or (self.rate is not None and not self.rate > 0):
            raise ValueError("--endurance must be at least 0 and --rate positive")
        model = self.network.load()
        report = self.measure(model)
        if self.json:
            print(json.dumps(record(report, model, self.input), indent=2))
        else:
            print_report(report, model, self.input)
        return 0

    def measure(self, model: "DepthModel") -> "BenchReport":
        """Measure, writing to a temporary folder."""
        from ..engine.bench import Workload, run_bench
        from ..models.runtime import prepare
        from ..sinks import DepthFolder
        from ..sources import open_source
        from ..temporal import SceneCutDetector, TemporalConfig

        with open_source(self.input) as source:
            prepare(model, model.input_size_hw((source.info.height, source.info.width), size=self.network.size))
        with tempfile.TemporaryDirectory(prefix="dptstream-bench-") as parent:
            folders = (Path(parent) / f"run{number}" for number in count())
            workload = Workload(
                open_source=lambda: open_source(self.input),
                model=model,
                make_sink=lambda: DepthFolder(OutputFlags(format=self.format).options(next(folders))),
                make_cut_detector=SceneCutDetector,
                temporal=TemporalConfig.preset(self.temporal),
                size=self.network.size,
                frames=self.frames,
                endurance_frames=self.endurance,
                rate_fps=self.rate,
                reference=self._usual_model(),
            )
            return run_bench(workload, rounds=self.rounds, say=lambda words: print(words, file=sys.stderr, flush=True))

    def _usual_model(self) -> "DepthModel | None":
        return replace(self.network, runtime="torch", precision="float32").load() if self.compare else None


def measure(bench: Bench) -> dict[str, object]:
    """Return the figures of ``bench`` and what they were taken on, as JSON values."""
    model = bench.network.load()
    return record(bench.measure(model), model, bench.input)


def record(report: "BenchReport", model: "DepthModel", location: str) -> dict[str, object]:
    """Return the figures and what they were taken on, as JSON values."""
    import torch

    from ..models.runtime import runtime_of

    return {
        "input": location,
        "model": model.info.name,
        "device": _device_name(model.device),
        "runtime": asdict(runtime_of(model)),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        **asdict(report),
        "end_to_end_fps": report.end_to_end_fps,
        "ratio_to_bound": report.ratio_to_bound,
        "ratio_to_model": report.ratio_to_model,
        "engine_to_model": report.engine_to_model,
        "gain_over_usual": report.gain_over_usual,
        "pipeline_gain": report.pipeline_gain,
    }


def _device_name(device: "torch.device") -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU ({torch.backends.cpu.get_cpu_capability()})"


def print_report(report: "BenchReport", model: "DepthModel", location: str) -> None:
    """Print the figures as a table."""
    from rich.console import Console
    from rich.table import Table

    from ..models.runtime import runtime_of

    picture, network = report.picture_hw, report.network_hw
    console = Console(highlight=False)
    console.print(
        f"{location}: {report.frames} frames of {picture[1]}x{picture[0]}, network {model.info.name} at "
        f"{network[1]}x{network[0]}, {runtime_of(model).words}, {_device_name(model.device)}, {report.cores} cores",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 3, 0, 0))
    for column in ("stage, alone", "CPU ms/frame", "wall ms/frame"):
        table.add_column(column, justify="left" if column.startswith("stage") else "right")
    for stage, cost in report.stages.items():
        table.add_row(stage, f"{cost.cpu_ms:.2f}", f"{cost.wall_ms:.2f}")
    console.print(table)
    for name, figure in _lines(report):
        console.print(f"{name:<28} {figure}", markup=False)


def _lines(report: "BenchReport") -> "Iterator[tuple[str, str]]":
    """Yield the figures below the table of stages: name and words."""
    low, high = min(report.pipelined_fps), max(report.pipelined_fps)
    yield "decode alone", f"{report.decode_fps:.1f} frames/s"
    yield "network alone", f"{report.model_fps:.1f} frames/s"
    if report.endurance is not None:
        yield "engine, no files", f"{report.endurance.fps:.1f} frames/s"
        yield "engine / network", f"{report.engine_to_model:.2f}"
    yield "end to end", f"{report.end_to_end_fps:.1f} frames/s ({low:.1f} to {high:.1f})"
    yield "bound", f"{report.bound_fps:.1f} frames/s"
    yield "end to end / bound", f"{report.ratio_to_bound:.2f}"
    yield "end to end / network", f"{report.ratio_to_model:.2f}"
    yield "with / without pipeline", f"{report.pipeline_gain:.2f}"
    if report.usual_fps:
        usual = statistics.median(report.usual_fps)
        yield "usual loop", f"{usual:.1f} frames/s; end to end is {report.gain_over_usual:.2f} times as fast"
    if report.endurance is not None and report.latency is not None:
        yield from _lasting_lines(report.endurance, report.latency)


def _lasting_lines(endurance: "Endurance", latency: "Latency") -> "Iterator[tuple[str, str]]":
    yield (
        f"latency at {latency.rate_fps:.1f} frames/s",
        f"p50 {latency.p50_ms:.1f}, p95 {latency.p95_ms:.1f}, p99 {latency.p99_ms:.1f}, most {latency.max_ms:.1f} ms; "
        f"{latency.sent - latency.inferred} of {latency.sent} frames replaced by newer ones",
    )
    growth = "n/a" if endurance.memory_slope is None else f"{endurance.memory_slope / 1e3:+.2f} kB a frame"
    yield "memory", f"{growth}, {endurance.blocks_a_frame:.2f} Python objects a frame left behind"
    allocations = endurance.device_allocations_a_frame
    yield "device allocations", "n/a on the CPU" if allocations is None else f"{allocations:.3f} a frame"
    yield "GPU idle", "n/a" if endurance.idle_share is None else f"{endurance.idle_share:.1%}"
