"""Offline smoothing within a run: a shot behind, the same frames and times, cuts untouched by one another."""

from pathlib import Path

import numpy as np
import pytest

from dptstream.engine import Engine, EngineConfig, LookaheadSink
from dptstream.errors import EngineError
from dptstream.sinks import DepthFolder, FolderOptions, MemorySink, read_manifest
from dptstream.sources import open_source
from dptstream.temporal import SceneCutDetector, TemporalConfig

from .test_smoothing import FlickeringModel

CLIP = "synthetic:width=96,height=64,frames=24,cuts=9"


def run(sink: object, location: str = CLIP, again: str | None = None) -> LookaheadSink:
    lookahead = LookaheadSink(sink, lambda: open_source(again or location), TemporalConfig())
    with open_source(location) as source:
        Engine(source, FlickeringModel(), [lookahead], config=EngineConfig(), cut_detector=SceneCutDetector()).run()
    return lookahead


def test_every_frame_comes_once_in_order_with_its_time_and_cuts() -> None:
    sink, plain = MemorySink(), MemorySink()
    run(sink)
    with open_source(CLIP) as source:
        Engine(source, FlickeringModel(), [plain], cut_detector=SceneCutDetector()).run()
    assert [frame.video.sequence for frame in sink.frames] == list(range(24))
    assert [frame.video.pts for frame in sink.frames] == [frame.video.pts for frame in plain.frames]
    assert [frame.scene_cut for frame in sink.frames] == [frame.scene_cut for frame in plain.frames]
    assert any(frame.scene_cut for frame in sink.frames)
    assert sink.complete is True


def test_scale_jumps_less_than_before() -> None:
    sink, plain = MemorySink(), MemorySink()
    run(sink, "synthetic:width=96,height=64,frames=24")
    with open_source("synthetic:width=96,height=64,frames=24") as source:
        Engine(source, FlickeringModel(), [plain]).run()

    def jump(frames: list) -> float:
        means = np.array([frame.depth.mean() for frame in frames])
        return float(np.abs(np.diff(means)).mean())

    assert jump(sink.frames) < 0.3 * jump(plain.frames)


def test_a_clip_that_changes_between_the_readings_is_noticed() -> None:
    with pytest.raises(EngineError, match="gave other frames when it was read a second time"):
        run(MemorySink(), CLIP, again="synthetic:width=96,height=64,frames=5")


def test_it_writes_a_folder_and_notes_the_flicker(tmp_path: Path) -> None:
    run(DepthFolder(FolderOptions(tmp_path / "d", formats=("npy",))))
    manifest = read_manifest(tmp_path / "d")
    assert manifest["complete"] is True
    assert manifest["counts"]["frames"] == 24
    assert set(manifest["notes"]["flicker"]) == {"before", "after", "still_share"}
