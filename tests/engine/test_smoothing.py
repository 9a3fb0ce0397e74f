"""Smoothing within the engine: in order, alike on both paths, taken up again after a kill."""

from pathlib import Path

import numpy as np
import pytest

from dptstream.engine import Engine, EngineConfig
from dptstream.engine.smoothing import SAVE_EVERY
from dptstream.sinks import DepthFolder, FolderOptions, MemorySink
from dptstream.sources import open_source
from dptstream.temporal import CausalFilter, TemporalConfig

from .toys import LateBackend, ToyModel

CLIP = "synthetic:width=96,height=64,frames=12"


class FlickeringModel(ToyModel):
    """Inverse depth that grows down the picture, with a scale that jumps from frame to frame."""

    def __call__(self, images_bchw):
        height, width = images_bchw.shape[-2:]
        ramp = images_bchw.new_tensor(np.linspace(1, 2, height))[:, None].expand(height, width)
        jump = 1 + 0.1 * ((images_bchw[0, 0].sum() % 7) / 7)
        return (ramp * jump)[None].float()


def run(location: str = CLIP, **options: object) -> tuple[MemorySink, object]:
    sink = MemorySink()
    backend = options.pop("backend", None)
    with open_source(location) as source:
        config = EngineConfig(temporal=TemporalConfig(), **options)
        report = Engine(source, FlickeringModel(), [sink], config=config, backend=backend).run()
    return sink, report


def test_frames_reach_the_filter_in_order_whatever_the_pipeline() -> None:
    overlapped, _ = run(workers=3)
    with open_source(CLIP) as source:
        smooth, state = CausalFilter(), None
        raw = MemorySink()
        Engine(source, FlickeringModel(), [raw], config=EngineConfig(pipelined=False)).run()
    for frame, rough in zip(overlapped.frames, raw.frames, strict=True):
        expected, state = smooth.step(rough, state)
        np.testing.assert_array_equal(frame.depth, expected)


@pytest.mark.parametrize("seed", range(2))
def test_smoothing_on_a_late_device_agrees_with_the_cpu(seed: int) -> None:
    on_host, _ = run()
    on_device, _ = run(backend=LateBackend(seed), slots=3, poison=True)
    for one, other in zip(on_host.frames, on_device.frames, strict=True):
        np.testing.assert_allclose(one.depth, other.depth, atol=0.02)


def test_flicker_before_and_after_is_reported_and_noted() -> None:
    sink, report = run("synthetic:width=96,height=64,frames=30,scene=wall")
    flicker = report.flicker
    assert sink.notes["flicker"]["before"] == flicker.before
    if flicker.before is not None:
        assert flicker.after < flicker.before


def test_without_a_temporal_config_depth_is_the_networks_own() -> None:
    sink = MemorySink()
    with open_source(CLIP) as source:
        report = Engine(source, FlickeringModel(), [sink]).run()
    assert report.flicker is None
    assert sink.notes == {}


def test_a_run_resumed_at_any_frame_smooths_as_if_never_interrupted(tmp_path: Path) -> None:
    location = f"synthetic:width=96,height=64,frames={SAVE_EVERY + 14}"

    class Stop(Exception):
        pass

    def convert(folder: Path, *, frames: int | None, resume: bool) -> None:
        sink = DepthFolder(FolderOptions(folder, formats=("npy",), resume=resume))
        with open_source(location) as source:

            def probe(stage: str, sequence: int) -> None:
                if stage == "write" and sequence == frames:
                    raise Stop

            config = EngineConfig(temporal=TemporalConfig(), probe=probe)
            Engine(source, FlickeringModel(), [sink], config=config).run()

    convert(tmp_path / "whole", frames=None, resume=False)
    for stop in (3, SAVE_EVERY, SAVE_EVERY + 5):
        folder = tmp_path / f"stopped{stop}"
        with pytest.raises(Exception, match="Stop"):
            convert(folder, frames=stop, resume=False)
        convert(folder, frames=None, resume=True)
        for path in sorted((tmp_path / "whole").iterdir()):
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name
