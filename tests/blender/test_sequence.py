"""Depth sequences of `dptstream convert` in real Blender, through File > Import."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from tests.media import LOSSLESS, corner_picture, numbered_pictures, write_picture, write_video
from tests.sinks.clips import COUNT, SIZE_HW

from .environments import Blender
from .folders import expected, write_folder

TOLERANCE = 1e-4
HEIGHT, WIDTH = SIZE_HW
FRAMES = (0, 3, COUNT - 1)
"""Frames 1, 4 and the last."""


def import_uncut(blender: Blender, folder: Path, **choices: object) -> None:
    assert blender.call("inside_sequence.import_folder", path=str(folder), **choices) == ["FINISHED"]
    blender.call("inside_sequence.set_inputs", Edge_Cut=0.0)


def error(blender: Blender, folder: Path, place: int, frame: int | None = None) -> float:
    found = np.array(blender.call("inside_sequence.positions", frame=place + 1 if frame is None else frame))
    return float(np.abs(found - expected(folder, place)).max())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DepthKind.RELATIVE_INVERSE, {}),
        (DepthKind.RELATIVE_INVERSE, {"formats": ("exr", "preview"), "half": True}),
        (DepthKind.METRIC, {}),
        (DepthKind.METRIC, {"encode": "inverse", "numbering": "blender"}),
        (DepthKind.RELATIVE, {"start_frame": 0}),
    ],
    ids=["relative inverse", "half floats", "metric", "inverse metres from frame 1", "relative from frame 0"],
)
def test_an_imported_sequence_stands_where_its_exr_values_say(
    fresh: Blender, tmp_path: Path, kind: DepthKind, options: dict[str, object]
) -> None:
    folder = write_folder(tmp_path / "clip", kind, **options)
    import_uncut(fresh, folder / "manifest.json")
    assert [error(fresh, folder, place) < TOLERANCE for place in FRAMES] == [True] * 3
    assert fresh.call("inside_sequence.counts")["faces"] == (HEIGHT - 1) * (WIDTH - 1)


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_INVERSE, DepthKind.METRIC])
def test_pngs_of_16_bits_give_the_same_depth_to_a_code(fresh: Blender, tmp_path: Path, kind: DepthKind) -> None:
    folder = write_folder(tmp_path / "clip", kind, formats=("exr", "png16"))
    first = next(folder.glob("*.1001.png"))
    import_uncut(fresh, first)
    assert fresh.call("inside_sequence.keys_of_images")["toy depth"] == [first.name, "SEQUENCE", "Non-Color", False]
    # Half a millimetre of metres; of the others half of one of 65534 steps, which at 10 units is 0.7 thousandths.
    assert max(error(fresh, folder, place) for place in FRAMES) < 8e-4


def test_edges_are_cut_where_depth_jumps(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    import_uncut(fresh, folder)
    whole = fresh.call("inside_sequence.counts")["faces"]
    fresh.call("inside_sequence.set_inputs", Edge_Cut=0.05)
    cut = fresh.call("inside_sequence.counts")["faces"]
    assert 0 < whole - cut < whole / 2


def test_a_stride_takes_each_so_many_th_pixel(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    import_uncut(fresh, folder)
    fresh.call("inside_sequence.set_inputs", Stride=3)
    found = np.array(fresh.call("inside_sequence.positions", frame=4))
    wanted = expected(folder, 3).reshape(HEIGHT, WIDTH, 3)[::3, ::3].reshape(-1, 3)
    assert np.abs(found - wanted).max() < TOLERANCE


def test_near_and_far_move_relative_depth(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip")
    import_uncut(fresh, folder)
    fresh.call("inside_sequence.set_inputs", Near=2.0, Far=30.0)
    found = np.array(fresh.call("inside_sequence.positions", frame=1))
    assert np.abs(found - expected(folder, 0, near=2.0, far=30.0)).max() < 3 * TOLERANCE


def test_the_scene_gets_rate_range_size_and_a_camera_that_sees_each_pixel_at_its_place(
    fresh: Blender, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    import_uncut(fresh, folder, start_frame=11)
    scene = fresh.call("inside_sequence.scene")
    assert scene["range"] == [11, 10 + COUNT]
    assert scene["rate"] == pytest.approx(25)
    assert (scene["size"], scene["camera"], scene["active"]) == ([WIDTH, HEIGHT], True, "toy")
    seen = np.array(fresh.call("inside_sequence.seen_pixels", frame=14)).reshape(HEIGHT, WIDTH, 2)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    assert np.abs(seen - np.stack((columns, rows), -1)).max() < 1e-3
    assert error(fresh, folder, 3, frame=14) < TOLERANCE


def test_a_clip_keeps_its_speed_in_a_scene_that_keeps_its_rate(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    import_uncut(fresh, folder, set_rate=False)
    assert fresh.call("inside_sequence.scene")["rate"] == pytest.approx(24)
    # 24 scene frames a second show 25 of the clip: scene frame 11 is 10 / 24 s in, which is frame 10 of the clip.
    assert error(fresh, folder, 10, frame=11) < TOLERANCE


def test_frames_of_a_variable_rate_are_shown_at_their_own_times(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC, steady=False)
    notes = fresh.call("inside_sequence.notes_of", path=str(folder))
    assert "variable frame rate: each frame is shown at its own time" in notes
    assert fresh.call("inside_sequence.scene")["range"] == [1, COUNT + 1]
    # The gap lies before the frame that comes at 5632 of 512 ticks a turn: turn 10 still shows frame 9.
    shown = {10: 9, 11: 10, 12: 11}
    assert [error(fresh, folder, place, frame=turn + 1) < TOLERANCE for turn, place in shown.items()] == [True] * 3


def test_colors_come_from_the_film_frame_by_frame(fresh: Blender, tmp_path: Path) -> None:
    film = write_video(tmp_path / "toy.mkv", numbered_pictures(COUNT, WIDTH * 2, HEIGHT * 2), LOSSLESS)
    folder = write_folder(tmp_path / "clip", location=str(film))
    import_uncut(fresh, folder)
    assert [grey_number(fresh, frame) for frame in (1, 4, COUNT)] == [0, 3, COUNT - 1]


def test_colors_come_from_pictures_that_the_user_chose_and_are_the_right_way_up(fresh: Blender, tmp_path: Path) -> None:
    (tmp_path / "shot").mkdir()
    for number in range(COUNT):
        write_picture(tmp_path / "shot" / f"p_{number + 7:03d}.png", corner_picture(WIDTH, HEIGHT))
    folder = write_folder(tmp_path / "clip", location="/elsewhere/shot/p_%03d.png")
    import_uncut(fresh, folder, colors=str(tmp_path / "shot" / "p_007.png"))
    found = np.array(fresh.call("inside_sequence.colors", frame=COUNT)).reshape(HEIGHT, WIDTH, 4)[..., :3]
    linear = srgb_to_linear(corner_picture(WIDTH, HEIGHT))
    assert np.abs(found - linear)[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.01


def test_the_preview_serves_for_colors_where_it_has_the_picture_beside_the_depth(
    fresh: Blender, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "clip", formats=("exr", "preview"), side_by_side=True)
    assert "colours: left half of preview.mp4" in fresh.call("inside_sequence.notes_of", path=str(folder))
    found = np.array(fresh.call("inside_sequence.colors", frame=1))
    assert found[:, :3].std() > 0.02


def test_no_colors_is_said_plainly_and_the_plain_color_shows(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", location=str(tmp_path / "gone.mp4"))
    notes = fresh.call("inside_sequence.notes_of", path=str(folder))
    assert any(f"no colours: {tmp_path / 'gone.mp4'} is not on this disk; choose a film" in note for note in notes)
    assert np.allclose(fresh.call("inside_sequence.colors", frame=1), (0.5, 0.5, 0.5, 1.0))


def test_a_saved_file_plays_in_a_blender_without_the_extension(fresh: Blender, tmp_path: Path) -> None:
    film = write_video(tmp_path / "toy.mkv", numbered_pictures(COUNT, WIDTH, HEIGHT), LOSSLESS)
    folder = write_folder(tmp_path / "clip", location=str(film))
    import_uncut(fresh, folder)
    fresh.call("inside_sequence.save", path=str(tmp_path / "file.blend"))
    found = in_bare_blender(fresh.python, tmp_path)
    for place in FRAMES:
        assert np.abs(np.array(found["positions"][str(place + 1)]) - expected(folder, place)).max() < TOLERANCE
    assert [round(value * 255) for value in found["greys"]] == [round(16 + 8 * place) for place in FRAMES]


def test_a_manifest_dropped_into_the_view_is_imported(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    assert fresh.call("inside_sequence.drop", folder=str(folder), name="manifest.json") == ["FINISHED"]
    fresh.call("inside_sequence.set_inputs", Edge_Cut=0.0)
    assert error(fresh, folder, 3) < TOLERANCE


def test_an_import_can_be_undone(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip")
    before = fresh.call("inside_sequence.names")
    import_uncut(fresh, folder)
    fresh.call("inside_sequence.undo")
    assert fresh.call("inside_sequence.names") == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "there is no manifest.json in"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "has the schema None"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is no manifest of dptstream"),
        (lambda folder: change(folder, frames=[{"number": 1}]), "is damaged"),
        (lambda folder: change(folder, frames=[]), "holds no frame"),
        (lambda folder: [file.unlink() for file in folder.glob("*.exr")], "none of the 12 files is there"),
    ],
    ids=["no manifest", "other schema", "no JSON", "damaged", "empty", "no files"],
)
def test_what_cannot_be_imported_is_refused_in_words(
    fresh: Blender, tmp_path: Path, spoil: object, message: str
) -> None:
    folder = write_folder(tmp_path / "clip")
    spoil(folder)  # type: ignore[operator]
    result = fresh.call("inside_sequence.import_folder", path=str(folder))
    assert result[0] == "refused"
    assert message in result[1]
    assert fresh.call("inside_sequence.names")["objects"] == []


def test_missing_files_are_counted_and_show_nothing(fresh: Blender, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clip", DepthKind.METRIC)
    (folder / "toy.1004.exr").unlink()
    notes = fresh.call("inside_sequence.notes_of", path=str(folder))
    assert "1 of 12 files are missing, the first is toy.1004.exr: nothing shows there" in notes
    assert fresh.call("inside_sequence.positions", frame=4) == []
    assert error(fresh, folder, 4) < TOLERANCE


def grey_number(blender: Blender, frame: int) -> int:
    linear = np.array(blender.call("inside_sequence.colors", frame=frame))[:, :3].mean()
    encoded = 1.055 * linear ** (1 / 2.4) - 0.055
    return round((encoded * 255 - 16) / 8)


def srgb_to_linear(picture: np.ndarray) -> np.ndarray:
    encoded = picture / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def change(folder: Path, **parts: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | parts))


def in_bare_blender(python: str, folder: Path) -> dict[str, object]:
    """Open ``file.blend`` in a Blender that knows nothing of the extension; return what it shows."""
    script = Path(__file__).with_name("bare.py")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["BLENDER_USER_RESOURCES"] = str(folder / "nobody")
    command = [
        python,
        str(script),
        str(folder / "file.blend"),
        str(folder / "found.json"),
        *(str(n + 1) for n in FRAMES),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment, cwd=folder)
    assert (folder / "found.json").is_file(), ran.stderr[-2000:]
    return dict(json.loads((folder / "found.json").read_text()))
