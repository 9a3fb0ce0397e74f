"""The suite as a whole: the filter meets its promises on spoiled scenes, and every kind of input is measured."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dptstream.cli.evaluate import Evaluate
from dptstream.cli.flags import ModelFlags
from dptstream.errors import MissingExtraError, SourceError
from dptstream.evaluation import (
    Corruption,
    Report,
    as_record,
    evaluate,
    film_truth,
    markdown_table,
    plots,
    predicted_truth,
    spoiled_clip,
)
from dptstream.evaluation.rgbd import is_rgbd_folder, read_rgbd
from dptstream.geometry import DepthKind
from dptstream.models.base import ModelInfo
from dptstream.sources.synthetic import SyntheticSettings

SETTINGS = SyntheticSettings(width=160, height=96, frames=48, cuts=24, seed=60221)


@pytest.fixture(scope="module")
def report() -> Report:
    clips = (spoiled_clip(SyntheticSettings(width=160, height=96, frames=64, cuts=32, seed=s)) for s in (8314, 16022))
    return evaluate(clips, ("minimal", "light", "default", "strong", "offline"))


def of(report: Report, method: str):  # type: ignore[no-untyped-def]
    return next(row for row in report.rows if row.method == method)


@pytest.mark.parametrize(("preset", "left"), [("minimal", 0.62), ("light", 0.35), ("default", 0.3), ("strong", 0.25)])
def test_each_preset_removes_its_share_of_flicker(report: Report, preset: str, left: float) -> None:
    assert of(report, preset).mean.excess_flicker <= left * of(report, "raw").mean.excess_flicker


def test_the_default_is_nearer_to_the_truth_than_raw_on_every_clip(report: Report) -> None:
    for smoothed, raw in zip(of(report, "default").per_clip, of(report, "raw").per_clip, strict=True):
        assert smoothed.abs_rel <= 0.75 * raw.abs_rel
        assert smoothed.abs_rel_per_frame <= 0.85 * raw.abs_rel_per_frame
        assert smoothed.delta1 >= raw.delta1
        assert smoothed.lag <= 0.25
        assert smoothed.ghosting <= raw.ghosting
        assert smoothed.moving_edges <= 0.9 * raw.moving_edges
        assert smoothed.scale_jitter <= 0.01
        assert smoothed.scale_drift <= raw.scale_drift + 0.03
        assert smoothed.cut_recovery == 0


def test_strong_is_never_worse_than_raw(report: Report) -> None:
    for smoothed, raw in zip(of(report, "strong").per_clip, of(report, "raw").per_clip, strict=True):
        assert smoothed.abs_rel <= raw.abs_rel


def test_look_ahead_beats_the_causal_default_on_every_measure(report: Report) -> None:
    ahead, causal = of(report, "offline").mean, of(report, "default").mean
    lower = ("abs_rel", "abs_rel_per_frame", "tae", "opw", "opw_global", "excess_flicker", "jumping")
    lower += ("static_flicker", "scale_jitter", "ghosting", "moving_edges")
    for name in lower:
        if getattr(causal, name) is not None:
            assert getattr(ahead, name) < getattr(causal, name), name
    assert ahead.delta1 >= causal.delta1
    assert ahead.cut_recovery == causal.cut_recovery == 0
    assert ahead.scale_drift <= causal.scale_drift + 0.005  # two means of 15 frames of one shot tell no more
    assert abs(ahead.lag) <= abs(causal.lag) + 0.05  # both are within the estimator's error of none


def test_a_plain_ema_that_is_as_steady_trails_and_ghosts(report: Report) -> None:
    ema, filtered = of(report, "EMA like default").mean, of(report, "default").mean
    assert ema.excess_flicker == pytest.approx(filtered.excess_flicker, rel=0.1)
    assert ema.lag > 1
    assert ema.ghosting > 1.5 * filtered.ghosting


def test_equal_seeds_give_equal_clips_and_others_do_not() -> None:
    first, second = spoiled_clip(SETTINGS), spoiled_clip(SETTINGS)
    np.testing.assert_array_equal(first.frames[7].depth, second.frames[7].depth)
    other = spoiled_clip(SyntheticSettings(width=160, height=96, frames=48, cuts=24, seed=60222))
    assert not np.array_equal(first.frames[7].depth, other.frames[7].depth)


def test_no_corruption_leaves_the_truth() -> None:
    none = Corruption(0, 0, 0.3, 0, 0.6, 0, 0, 0, 0, 0)
    clip = spoiled_clip(SETTINGS, none)
    assert clip.truth is not None
    for frame, truth in zip(clip.frames, clip.truth, strict=True):
        np.testing.assert_allclose(frame.depth, truth.inverse_depth, rtol=1e-6)
        np.testing.assert_array_equal(frame.video.image, truth.image)


def test_cuts_between_rooms_of_one_style_are_found() -> None:
    clip = spoiled_clip(SETTINGS)
    assert [frame.video.sequence for frame in clip.frames if frame.scene_cut] == [24]
    assert list(clip.shots()) == [slice(0, 24), slice(24, 48)]


def test_tables_hold_every_method_and_leave_out_what_nobody_has(report: Report) -> None:
    table = markdown_table(report)
    assert "| raw | minimal | light | default | strong | offline | EMA like default |" in table
    assert "Clips: seed 8314, seed 16022." in table
    record = json.loads(json.dumps(as_record(report)))
    assert record["methods"][0]["method"] == "raw"
    assert len(record["methods"][3]["per_clip"]) == 2


class MeanModel:
    """Depth that is the picture's brightness, at half its size."""

    def __init__(self) -> None:
        self.device, self.dtype = torch.device("cpu"), torch.float32
        facts = dict.fromkeys(ModelInfo.__dataclass_fields__)
        facts |= {"kind": DepthKind.RELATIVE_INVERSE, "output_resize": "bilinear"}
        self.info = ModelInfo(**facts)  # type: ignore[arg-type]

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        return picture_hw[0] // 2, picture_hw[1] // 2

    def preprocess(self, rgb_bhwc: torch.Tensor, input_hw: tuple[int, int]) -> torch.Tensor:
        return torch.nn.functional.interpolate(rgb_bhwc.permute(0, 3, 1, 2).float() / 255, input_hw)

    def __call__(self, images_bchw: torch.Tensor) -> torch.Tensor:
        return images_bchw.mean(1) + 0.5


def test_a_network_is_measured_at_the_size_of_the_truth() -> None:
    truth = film_truth(SyntheticSettings(width=96, height=64, frames=8, seed=1))
    clip = predicted_truth("toy", truth, MeanModel())  # type: ignore[arg-type]
    assert clip.frames[0].depth.shape == (32, 48)
    found = evaluate([clip], ("default",), rival=None)
    assert found.rows[0].mean.abs_rel is not None
    assert [row.method for row in found.rows] == ["raw", "default"]


def write_rgbd(folder: Path, frames: int = 4, *, depths: int | None = None) -> None:
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    truth = film_truth(SyntheticSettings(width=96, height=64, frames=frames, seed=1))
    poses = []
    for number, frame in enumerate(truth):
        cv2.imwrite(str(folder / "rgb" / f"{number:03d}.png"), frame.image[..., ::-1])
        if number < (frames if depths is None else depths):
            metres = np.rint(1000 / frame.inverse_depth).astype(np.uint16)
            metres[:2] = 0
            cv2.imwrite(str(folder / "depth" / f"{number:03d}.png"), metres)
        poses.append(" ".join(map(str, np.asarray(frame.world_from_camera)[:3].ravel())))
    assert truth[0].intrinsics is not None
    k = truth[0].intrinsics
    (folder / "intrinsics.txt").write_text(f"{k.fx} {k.fy} {k.cx} {k.cy}\n")
    (folder / "poses.txt").write_text("\n".join(poses))


def test_an_rgbd_folder_is_read_with_camera_and_poses(tmp_path: Path) -> None:
    write_rgbd(tmp_path)
    assert is_rgbd_folder(tmp_path)
    frames = read_rgbd(tmp_path)
    truth = film_truth(SyntheticSettings(width=96, height=64, frames=4, seed=1))
    assert [frame.first_of_shot for frame in frames] == [True, False, False, False]
    np.testing.assert_allclose(frames[2].inverse_depth[2:], truth[2].inverse_depth[2:], rtol=1e-3)
    assert not frames[2].valid[:2].any()
    np.testing.assert_allclose(frames[3].world_from_camera, truth[3].world_from_camera)
    np.testing.assert_array_equal(frames[1].image, truth[1].image)


def test_an_rgbd_folder_whose_parts_do_not_match_is_refused(tmp_path: Path) -> None:
    write_rgbd(tmp_path / "short", depths=3)
    with pytest.raises(SourceError, match="4 pictures and 3 depth pictures"):
        read_rgbd(tmp_path / "short")
    write_rgbd(tmp_path / "poses")
    (tmp_path / "poses" / "poses.txt").write_text("1 2 3")
    with pytest.raises(SourceError, match="holds 3 numbers; it takes 12 or 16 for each of the 4 frames"):
        read_rgbd(tmp_path / "poses")
    with pytest.raises(SourceError, match="is no RGB-D folder"):
        read_rgbd(tmp_path)


def test_the_command_writes_scores_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the evaluate extra")
    command = Evaluate(output=tmp_path, methods=("default",), seeds=(5,), frames=10, width=96, height=64)
    assert command.run() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scores.json",
        "scores.md",
        "scores.png",
        "slices_seed_5.png",
    ]
    assert json.loads((tmp_path / "scores.json").read_text())["clips"] == ["seed 5"]
    output = capsys.readouterr()
    assert "excess flicker" in output.out
    assert output.err == "seed 5\n"


def test_the_command_measures_pictures_without_a_truth(capsys: pytest.CaptureFixture[str]) -> None:
    command = Evaluate(
        input="synthetic:width=96,height=64,frames=8,scene=wall",
        methods=("light",),
        network=ModelFlags(device="cpu", size=64),
        frames=2,
        rival="none",
        json=True,
    )
    assert command.run() == 0
    record = json.loads(capsys.readouterr().out)
    assert record["methods"][0]["mean"]["abs_rel"] is None
    assert record["methods"][0]["mean"]["opw_global"] is not None


def test_the_command_rejects_clips_too_short_to_flicker() -> None:
    with pytest.raises(ValueError, match="--frames must be at least 2"):
        Evaluate(frames=1).run()


def test_without_matplotlib_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "dptstream\[evaluate\]"'):
        Evaluate(output=tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


def test_a_time_slice_stacks_one_row_of_every_frame() -> None:
    maps = [np.full((4, 3), number, np.float32) for number in range(5)]
    np.testing.assert_array_equal(plots.time_slice(maps, 2)[:, 0], range(5))
    busy = [np.zeros((16, 8), np.float32) for _ in range(3)]
    for map_ in busy:
        map_[9, ::2] = 1
    assert plots.busiest_row(busy) == 9
