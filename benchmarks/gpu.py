"""The whole measurement on a CUDA card, in one command: network, engine, latency, memory, decoding, against the goals.

    python benchmarks/gpu.py [--models small base large] [--output benchmarks/results/CARD.json]

Networks of Depth Anything V2's shapes with seeded weights in float16, 1080p pictures, 518x924 at the network, batch 1.
Weights decide no time, so nothing is downloaded. Takes ten minutes or so, most of them for compiling; run it on a machine
that does nothing else. ``--rehearse`` goes through every step in seconds with a small network on whatever there is,
to see that the steps work; its figures mean nothing.

What is measured, for each network:
  network      forward passes back to back: step by step, recorded, compiled and recorded (median of events)
  engine       pictures in memory to nowhere, four times as long as it warms up, with and without smoothing; in batches
  idle         share of the time in which the card ran nothing
  allocations  device memory asked for a frame, in the second half of a run
  latency      60 pictures/s as a camera sends them: how old they are when their depth is out
and for the smallest network:
  memory       growth over 10,000 frames, on the host and on the card
  files        a 1080p H.264 clip to nowhere, decoded by the processor and by the card
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import torch
from workload import FULL, REHEARSAL, Scale, machine, make_clip, pictures, seeded_model

from dptstream.engine import Engine, EngineConfig, RunReport
from dptstream.engine.backend import backend_for
from dptstream.engine.compiling import Compiler
from dptstream.engine.endurance import NullSink, Pictures, idle_share, measure_latency, resident_bytes, slope
from dptstream.engine.notes import Notes
from dptstream.frames import VideoFrame
from dptstream.models.network import NetworkModel
from dptstream.sources import SourceOptions, open_source
from dptstream.temporal import SceneCutDetector, TemporalConfig

GOAL_NETWORK_MS = {"small": 1.5, "base": 3.0, "large": 7.5}
GOAL_ENGINE_OVER_NETWORK = 0.97
GOAL_IDLE = {"small": 0.08, "base": 0.03, "large": 0.03}
GOAL_P99_MS = 10.0


def median_ms(device: torch.device, submit: Callable[[], object], passes: int) -> float:
    """Return the median milliseconds of ``submit``, back to back, on the current stream; the first quarter warms up."""
    for _ in range(max(2, passes // 4)):
        submit()
    if device.type != "cuda":
        walls = []
        for _ in range(passes):
            began = time.perf_counter()
            submit()
            walls.append((time.perf_counter() - began) * 1000)
        return statistics.median(walls)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(passes + 1)]
    marks[0].record()
    for mark in marks[1:]:
        submit()
        mark.record()
    marks[-1].synchronize()
    return statistics.median(before.elapsed_time(after) for before, after in pairwise(marks))


def measure_network(model: NetworkModel, scale: Scale) -> dict[str, object]:
    """Measure forward passes alone, in every way they can be run."""
    device, backend, notes = model.device, backend_for(model.device), Notes()
    shape = (1, 3, *model.input_size_hw(scale.picture_hw, size=scale.size))
    images = torch.rand(shape, device=device).to(model.dtype)
    depth = torch.empty((1, *shape[2:]), device=device)
    began = time.perf_counter()
    twin = Compiler(notes, ahead=True, compile_network=None if device.type == "cuda" else _as_it_is).twin(model, shape)
    compile_seconds = time.perf_counter() - began
    result: dict[str, object] = {"shape": shape, "compile_seconds": compile_seconds}

    def measure(network: object, *, recorded: bool) -> float:
        @torch.no_grad()
        def work() -> None:
            depth.copy_(network(images))

        submit: Callable[[], object] = work
        if recorded and (graph := backend.record(work)) is not None:
            submit = graph.replay
        times: list[float] = []
        backend.compute.run(lambda: times.append(median_ms(device, submit, scale.passes)))
        return times[0]

    result["step_by_step_ms"] = measure(model, recorded=False)
    result["recorded_ms"] = measure(model, recorded=True)
    result["compiled_ms"] = measure(twin, recorded=True) if twin is not None else None
    result["notes"] = notes.lines
    backend.close()
    return result


def _as_it_is(network: torch.nn.Module) -> torch.nn.Module:
    """Stand in for the compiler where its time would be wasted."""
    return torch.nn.Sequential(network)


def run_engine(
    model: NetworkModel, frames: list[VideoFrame], scale: Scale, **config: object
) -> tuple[float, dict[str, object]]:
    """Return milliseconds a frame from memory to nowhere, and what else was seen, over the last three quarters of a run."""
    clock: list[int] = []
    allocations: list[int] = []

    def look() -> int:
        clock.append(time.perf_counter_ns())
        if model.device.type == "cuda":
            allocations.append(int(torch.cuda.memory_stats(model.device)["allocation.all.allocated"]))
        return clock[-1]

    with Pictures(frames, scale.frames) as source:
        settings = EngineConfig(size=scale.size, **config)  # type: ignore[arg-type]
        report: RunReport = Engine(source, model, [NullSink(look)], config=settings).run()
    first = len(clock) // 4
    half = len(allocations) // 2
    seen: dict[str, object] = {
        "allocations_a_frame": (allocations[-1] - allocations[half]) / (len(allocations) - 1 - half) if half else None,
        "warnings": report.warnings,
        "busy_ms": report.progress.busy_ms,
        "limited_by": report.progress.limiting_stage,
    }
    return (clock[-1] - clock[first]) / 1e6 / (len(clock) - 1 - first), seen


def measure_engine(model: NetworkModel, frames: list[VideoFrame], scale: Scale, network_ms: float) -> dict[str, object]:
    """Measure the engine in its ways of running, against the network alone."""
    cuda = model.device.type == "cuda"
    compiled = "on" if cuda else "off"
    ways: dict[str, dict[str, object]] = {
        "best": {"batch": 1, "compile": compiled},
        "uncompiled": {"batch": 1, "compile": "off"},
        "step_by_step": {"batch": 1, "compile": "off", "graphs": False},
        "smoothed": {"batch": 1, "compile": compiled, "temporal": TemporalConfig()},
        "batch_4": {"batch": 4, "compile": compiled},
    }
    results: dict[str, object] = {}
    for name, config in ways.items():
        ms, seen = run_engine(model, frames, scale, **config)
        results[name] = {"ms_a_frame": ms, "network_over_engine": network_ms / ms, **seen}
    if cuda:
        results["idle_share"] = measure_idle(model, frames, scale)
    latency = measure_latency(model, frames, rate_fps=60.0, frames=scale.paced_frames, size=scale.size)
    return {**results, "latency": asdict(latency)}


def measure_idle(model: NetworkModel, frames: list[VideoFrame], scale: Scale) -> float:
    """Return the share of the second half of a run in which the card ran nothing."""
    from torch.profiler import DeviceType, ProfilerActivity, profile

    with Pictures(frames, scale.frames // 2) as source, profile(activities=[ProfilerActivity.CUDA]) as profiler:
        config = EngineConfig(size=scale.size, batch=1, compile="on")
        Engine(source, model, [NullSink()], config=config).run()
    events = [event for event in profiler.events() or [] if event.device_type == DeviceType.CUDA]
    spans = sorted((event.time_range.start, event.time_range.end) for event in events)
    return idle_share(spans[len(spans) // 2 :])


def measure_memory(model: NetworkModel, frames: list[VideoFrame], scale: Scale) -> dict[str, object]:
    """Measure growth over a long run, bytes a frame, after its first tenth."""
    host: list[int] = []
    card: list[int] = []

    def look() -> int:
        host.append(resident_bytes() or 0)
        card.append(torch.cuda.memory_reserved(model.device) if model.device.type == "cuda" else 0)
        return 0

    with Pictures(frames, scale.endurance_frames) as source:
        Engine(source, model, [NullSink(look)], config=EngineConfig(size=scale.size, temporal=TemporalConfig())).run()
    first = len(host) // 10
    return {
        "frames": len(host),
        "host_bytes_a_frame": slope(host[first:]),
        "card_bytes_a_frame": slope(card[first:]),
        "card_bytes": card[-1],
    }


def measure_files(model: NetworkModel, scale: Scale) -> dict[str, object]:
    """Measure a clip from a file to nowhere, cuts and smoothing included, decoded here and there."""
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="dptstream-bench-") as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path, scale)
        native = model.device.type == "cuda"
        for name, options in (("cpu", SourceOptions(native=native)), ("card", SourceOptions(card=0))):
            clock: list[int] = []
            with open_source(str(path), options) as source:
                config = EngineConfig(size=scale.size, temporal=TemporalConfig())
                sink = NullSink(lambda clock=clock: clock.append(time.perf_counter_ns()) or 0)
                report = Engine(source, model, [sink], config=config, cut_detector=SceneCutDetector()).run()
                first = len(clock) // 4
                results[name] = {
                    "fps": (len(clock) - 1 - first) / (clock[-1] - clock[first]) * 1e9,
                    "decoded_on_card": source.stats.decoded_on_card,
                    "limited_by": report.progress.limiting_stage,
                    "busy_ms": report.progress.busy_ms,
                    "warnings": report.warnings,
                }
            began = time.perf_counter()
            with open_source(str(path), options) as source:
                count = sum(1 for _ in source)
            results[f"{name}_decoding_alone_fps"] = count / (time.perf_counter() - began)
    return results


def verdicts(name: str, result: dict[str, dict]) -> list[tuple[str, float, float, bool]]:
    """Return (what, reached, goal, met) for one network."""
    engine, network_ms = result["engine"], best_ms(result["network"])
    rows = [("network, ms", network_ms, GOAL_NETWORK_MS[name], network_ms <= GOAL_NETWORK_MS[name])]
    share = engine["best"]["network_over_engine"]
    rows.append(("engine / network", share, GOAL_ENGINE_OVER_NETWORK, share >= GOAL_ENGINE_OVER_NETWORK))
    idle = engine["idle_share"]
    rows.append(("idle share", idle, GOAL_IDLE[name], idle < GOAL_IDLE[name]))
    allocations = engine["best"]["allocations_a_frame"]
    rows.append(("allocations a frame", allocations, 0.0, allocations == 0))
    p99 = engine["latency"]["p99_ms"]
    rows.append(("p99 at 60 pictures/s, ms", p99, GOAL_P99_MS, p99 <= GOAL_P99_MS))
    return rows


def best_ms(network: dict) -> float:
    """Return the network's time in the best way of running it."""
    times = (network["step_by_step_ms"], network["recorded_ms"], network["compiled_ms"])
    return min(time_ms for time_ms in times if time_ms is not None)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(GOAL_NETWORK_MS), default=list(GOAL_NETWORK_MS))
    parser.add_argument("--output", type=Path, help="JSON file; the default is printed")
    parser.add_argument("--rehearse", action="store_true", help="go through the steps in small; figures mean nothing")
    flags = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not flags.rehearse:
        print(f"no CUDA device was found: PyTorch {torch.__version__} sees none here, so nothing was measured")
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scale, names = (REHEARSAL, ["rehearsal"]) if flags.rehearse else (FULL, flags.models)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    frames, results = pictures(scale), {}
    for name in names:
        print(f"{name}: network", file=sys.stderr, flush=True)
        model = seeded_model(name, device, dtype)
        network = measure_network(model, scale)
        print(f"{name}: engine", file=sys.stderr, flush=True)
        results[name] = {"network": network, "engine": measure_engine(model, frames, scale, best_ms(network))}
        if name == names[0]:
            print(f"{name}: memory, files", file=sys.stderr, flush=True)
            results[name] |= {"memory": measure_memory(model, frames, scale), "files": measure_files(model, scale)}
    record = {**machine(device), "rehearsal": flags.rehearse, "precision": str(dtype), "networks": results}
    text = json.dumps(record, indent=2)
    if flags.output is None:
        print(text)
    else:
        flags.output.write_text(text + "\n", encoding="utf-8")
    for name in names if not flags.rehearse else []:
        for what, reached, goal, met in verdicts(name, results[name]):
            print(f"{name:<6} {what:<26} {reached:9.3f}  goal {goal:6.3f}  {'met' if met else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
