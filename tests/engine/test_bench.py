from dataclasses import replace

import numpy as np
import pytest

from dptstream.engine.bench import Workload, run_bench
from dptstream.sinks import MemorySink
from dptstream.temporal import TemporalConfig

from .toys import ToyModel, ToySource


class NoCuts:
    def step(self, rgb_hwc: np.ndarray) -> bool:
        return False


def workload(frames: int = 8) -> Workload:
    return Workload(
        open_source=lambda: ToySource(20, sizes=((48, 64),)),
        model=ToyModel(),
        make_sink=MemorySink,
        make_cut_detector=NoCuts,
        temporal=TemporalConfig(),
        frames=frames,
        endurance_frames=0,
    )


def test_every_stage_and_both_kinds_of_run_are_measured() -> None:
    report = run_bench(workload(), rounds=2)
    assert set(report.stages) == {"decode", "infer", "smooth", "write"}
    assert (report.frames, report.picture_hw) == (8, (48, 64))
    assert len(report.pipelined_fps) == len(report.sequential_fps) == 2
    summed_ms = sum(stage.cpu_ms for stage in report.stages.values())
    assert report.bound_fps == pytest.approx(report.cores * 1000 / summed_ms)
    assert report.ratio_to_bound == pytest.approx(report.end_to_end_fps / report.bound_fps)


def test_the_engine_alone_latency_and_the_usual_loop_are_measured_where_asked_for() -> None:
    plain = run_bench(workload(), rounds=1)
    assert (plain.endurance, plain.latency, plain.engine_to_model, plain.gain_over_usual) == (None, None, None, None)
    asked = replace(workload(), endurance_frames=12, rate_fps=40.0, reference=ToyModel())
    report = run_bench(asked, rounds=2)
    assert report.endurance is not None
    assert report.endurance.frames == 12
    assert report.engine_to_model == pytest.approx(report.endurance.fps / report.model_fps)
    assert report.latency is not None
    assert (report.latency.rate_fps, report.latency.sent) == (40.0, 12)
    ratios = [ours / usual for ours, usual in zip(report.pipelined_fps, report.usual_fps, strict=True)]
    assert report.gain_over_usual == pytest.approx(sum(ratios) / 2)


def test_an_input_without_frames_is_refused() -> None:
    empty = Workload(open_source=lambda: ToySource(0), model=ToyModel(), make_sink=MemorySink, make_cut_detector=NoCuts)
    with pytest.raises(ValueError, match="holds no frame"):
        run_bench(empty)
