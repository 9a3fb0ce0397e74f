"""What the benchmarks have in common: the machine, clocks, and networks with seeded weights."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def machine() -> dict[str, object]:
    """What the figures were taken on, and how busy it was."""
    import openvino

    from dptstream.engine.device import cpu_count

    facts: dict[str, object] = {
        "processor": processor(),
        "cores": cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": torch.__version__,
        "openvino": openvino.__version__.split("-")[0],
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def write(name: str, results: dict[str, object]) -> None:
    """Keep results as JSON beside this file, named after the machine."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    say(f"written to {path}")


@contextmanager
def torch_threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU time of one call, all threads added."""
    started = time.process_time_ns()
    work()
    return (time.process_time_ns() - started) / 1e6


def wall_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - started) / 1e6


def interleaved(
    ways: dict[str, Callable[[], object]], rounds: int, clock: Callable[[Callable[[], object]], float]
) -> dict[str, list[float]]:
    """Time every way once a round, after a warm-up, so that whatever else the machine does falls on all alike."""
    for work in ways.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            times[name].append(clock(work))
    return times


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Median over the rounds of how many times as fast the second is."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def seed(network: nn.Module) -> nn.Module:
    """Fill a network so that its depth varies over the picture, and is of no other use."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        if name.endswith(("position_embedding", "position_embeddings", "vectors", "table", "class_token", "cls_token")):
            nn.init.normal_(weight, std=0.5)
        elif weight.ndim > 1:
            nn.init.normal_(weight, std=1.2 / weight[0].numel() ** 0.5)
    return network.eval().requires_grad_(False)
