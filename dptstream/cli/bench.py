"""``dptstream bench``: what each stage costs on this machine, and how near a whole run comes to its bound."""

import json
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .convert import Format, OutputFlags
from .flags import ModelFlags

if TYPE_CHECKING:
    import torch

    from ..engine.bench import BenchReport
    from ..models import DepthModel


@dataclass(frozen=True)
class Bench:
    """Measure decode, network, writing and whole runs of convert, with and without the pipeline, interleaved."""

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
    network: ModelFlags = field(default_factory=ModelFlags)
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self) -> int:
        """Measure and print."""
        if self.frames < 1 or self.rounds < 1:
            raise ValueError(f"--frames and --rounds must be at least 1; got {self.frames} and {self.rounds}")
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
        from ..sinks import DepthFolder
        from ..sources import open_source
        from ..temporal import SceneCutDetector, TemporalConfig

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
            )
            return run_bench(workload, rounds=self.rounds, say=lambda words: print(words, file=sys.stderr, flush=True))


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
    low, high = min(report.pipelined_fps), max(report.pipelined_fps)
    for name, figure in (
        ("decode alone", f"{report.decode_fps:.1f} frames/s"),
        ("network alone", f"{report.model_fps:.1f} frames/s"),
        ("end to end", f"{report.end_to_end_fps:.1f} frames/s ({low:.1f} to {high:.1f})"),
        ("bound", f"{report.bound_fps:.1f} frames/s"),
        ("end to end / bound", f"{report.ratio_to_bound:.2f}"),
        ("end to end / network", f"{report.ratio_to_model:.2f}"),
        ("with / without pipeline", f"{report.pipeline_gain:.2f}"),
    ):
        console.print(f"{name:<24} {figure}", markup=False)
