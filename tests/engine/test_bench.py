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
    )


def test_every_stage_and_both_kinds_of_run_are_measured() -> None:
    report = run_bench(workload(), rounds=2)
    assert set(report.stages) == {"decode", "infer", "smooth", "write"}
    assert (report.frames, report.picture_hw) == (8, (48, 64))
    assert len(report.pipelined_fps) == len(report.sequential_fps) == 2
    summed_ms = sum(stage.cpu_ms for stage in report.stages.values())
    assert report.bound_fps == pytest.approx(report.cores * 1000 / summed_ms)
    assert report.ratio_to_bound == pytest.approx(report.end_to_end_fps / report.bound_fps)


def test_an_input_without_frames_is_refused() -> None:
    empty = Workload(open_source=lambda: ToySource(0), model=ToyModel(), make_sink=MemorySink, make_cut_detector=NoCuts)
    with pytest.raises(ValueError, match="holds no frame"):
        run_bench(empty)
