"""The measurement for CUDA cards: its steps work wherever there is none, and it says plainly that there is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=250, cwd=ROOT, check=False
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_card_it_says_so_and_measures_nothing() -> None:
    done = benchmark()
    assert done.returncode == 2
    assert done.stdout.startswith("no CUDA device was found: PyTorch ")
    assert done.stderr == ""


def test_a_rehearsal_goes_through_every_step(tmp_path: Path) -> None:
    done = benchmark("--rehearse", "--output", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert record["rehearsal"] is True
    (result,) = record["networks"].values()
    assert result["network"]["recorded_ms"] > 0
    assert result["network"]["notes"] == []
    assert set(result["engine"]) >= {"best", "uncompiled", "step_by_step", "smoothed", "batch_4", "latency"}
    assert result["memory"]["frames"] == 60
    assert result["files"]["cpu"]["fps"] > 0
    assert (record["card"] is None) == (not torch.cuda.is_available())


def test_goals_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu

    network = {"step_by_step_ms": 5.0, "recorded_ms": 1.6, "compiled_ms": 1.4}
    best = {"network_over_engine": 0.95, "allocations_a_frame": 0.0}
    result = {"network": network, "engine": {"best": best, "idle_share": 0.04, "latency": {"p99_ms": 12.0}}}
    met = {what: good for what, _, _, good in gpu.verdicts("small", result)}
    assert met == {
        "network, ms": True,
        "engine / network": False,
        "idle share": True,
        "allocations a frame": True,
        "p99 at 60 pictures/s, ms": False,
    }
    assert gpu.best_ms({**network, "compiled_ms": None}) == 1.6
