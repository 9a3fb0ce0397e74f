"""`dptstream inspect`: the figures of a model, and sheets of what it computes inside."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dptstream.cli import run
from dptstream.cli.inside import Look, draw_sheets
from dptstream.cli.inspect import parse_point, parse_scales
from dptstream.cli.network_size import network_size_hw
from dptstream.cli.sheets import CAPTION, MARGIN, SHEET_WIDTH, Panel, heat, overlay, principal_colors, sheet
from dptstream.models import load_model
from tests.models.families import NETWORKS, WITHOUT_CLASS_TOKEN, small_model, small_size_hw

SHEETS = ["attention", "tokens", "levels", "fusion", "depth"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "room.png"
    rows, columns = np.mgrid[:90, :160]
    cv2.imwrite(str(path), np.stack([rows + columns, 2 * rows, 255 - columns], axis=-1).astype(np.uint8))
    return path


def test_the_figures_of_a_model_are_printed(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", model_file, "--size", "192x336"]) == 0
    text = capsys.readouterr().out
    for words in (
        "dpt_tiny (by keys)",
        "6 blocks; the decoder taps 2, 5",
        "GFLOP at 192x336",
        "of which attention 0.3",
    ):
        assert words in text
    parts = {line.split()[0]: line.split()[1:] for line in text.splitlines() if len(line.split()) == 5}
    assert parts["all"][:2] == ["3.22", "100.0%"]
    assert parts["image_encoder"] == ["2.87", "89.2%", "3.0", "69.7%"]


def test_the_figures_for_machines_are_one_json_object(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", model_file, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cost"]["size_hw"] == list(load_model("tiny").input_size_hw((1080, 1920)))
    assert sum(facts["part_parameters"].values()) == facts["parameters"]
    assert sum(facts["cost"]["part_flops"].values()) == facts["cost"]["flops"]
    assert facts["weight_bytes"]["float32"] > 4 * facts["parameters"]  # the statistics of its norms are no parameters
    assert facts["decided_by"]["family"] == "keys"


def test_a_picture_gives_five_sheets(
    model_file: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sheets"
    assert run(["inspect", model_file, str(picture), "-o", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sheets"] == [str(folder / f"{name}.png") for name in SHEETS]
    for name in SHEETS:
        image = cv2.imread(str(folder / f"{name}.png"))
        assert image is not None
        assert image.shape[1] == SHEET_WIDTH
        assert image.std() > 10


def test_sheets_land_in_a_folder_named_after_the_picture(
    model_file: str, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["inspect", model_file, str(picture), "--level-scale", "1,1,0,1", "--layer", "1"]) == 0
    assert sorted(path.stem for path in (tmp_path / "room_inspect").iterdir()) == sorted(SHEETS)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--layer", "6"], "has blocks 0 to 5"),
        (["--head", "3"], "block 5 has heads 0 to 2"),
        (["--head", "first"], "cannot read the head 'first'"),
        (["--at", "class"], "this encoder has no class token"),
        (["--at", "1.5,0"], "the point is (1.5, 0.0)"),
        (["--at", "middle"], "cannot read the point 'middle'"),
        (["--level-scale", "1,1,1"], "write four numbers"),
        (["--size", "190x336"], "both sides must be multiples of 16, such as 192x336"),
        (["--size", "big"], "cannot read the size 'big'"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    flags: list[str], words: str, model_file: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", model_file, str(picture), "-o", str(tmp_path / "sheets"), *flags]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_can_be_drawn(name: str) -> None:
    model = small_model(name)
    rgb_hwc = np.random.default_rng(0).integers(0, 256, (72, 100, 3), dtype=np.uint8)
    at = (0.9, 0.1) if name in WITHOUT_CLASS_TOKEN else "class"
    sheets = dict(draw_sheets(model, rgb_hwc, small_size_hw(name), Look(block=2, at=at)))
    assert list(sheets) == SHEETS


def test_attention_is_drawn_where_the_token_looks() -> None:
    model = small_model("swinv2")  # its first block sees one window of 8 x 8 tokens: the upper left corner
    rgb_hwc = np.full((96, 160, 3), 128, np.uint8)
    drawn = dict(draw_sheets(model, rgb_hwc, (96, 160), Look(block=0, at=(0.01, 0.01), head=0)))["attention"]
    width = (SHEET_WIDTH - 3 * MARGIN) // 2
    map_hwc = drawn[-MARGIN * 2 - round(width * 96 / 160) : -MARGIN * 2, 2 * MARGIN + width :][:, :width]
    colored = map_hwc.max(axis=2).astype(int) - map_hwc.min(axis=2) > 20
    rows, columns = np.nonzero(colored)
    assert rows.max() < colored.shape[0] * 0.35
    assert columns.max() < colored.shape[1] * 0.25


def test_panels_stand_side_by_side_in_the_shape_of_the_first() -> None:
    red, blue = (
        np.full(shape, color, np.uint8) for shape, color in (((10, 20, 3), (255, 0, 0)), ((7, 7, 3), (0, 0, 255)))
    )
    drawn = sheet("title", "subtitle", [Panel("one", red), Panel("two", blue)], columns=2)
    width = (SHEET_WIDTH - 3 * MARGIN) // 2
    body = drawn[-2 * MARGIN - width // 2 : -2 * MARGIN]
    assert (body[:, MARGIN : MARGIN + width] == (255, 0, 0)).all()
    assert (body[:, 2 * MARGIN + width : 2 * MARGIN + 2 * width] == (0, 0, 255)).all()
    assert drawn[: -2 * MARGIN - width // 2][-CAPTION:].std() > 0  # the captions


def test_small_numbers_are_dark_and_great_ones_bright() -> None:
    colors = heat(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)).sum(axis=2).astype(int).ravel()
    assert (np.diff(colors) > 0).all()
    assert heat(np.zeros((2, 2), np.float32)).max() < 10
    laid = overlay(np.full((8, 8, 3), 200, np.uint8), np.eye(2, dtype=np.float32))
    assert laid[0, 0].sum() > laid[0, 7].sum()


def test_directions_of_many_channels_tell_regions_apart() -> None:
    features = np.zeros((5, 4, 6), np.float32)
    features[3, :, :3] = 10
    colors = principal_colors(features)
    assert colors.shape == (4, 6, 3)
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == 2
    assert principal_colors(features[:1]).shape == (4, 6, 3)


def test_points_and_scales_are_read_as_written() -> None:
    assert parse_point("0.25,0.5") == (0.25, 0.5)
    assert parse_point("cls") == parse_point("class") == "class"
    assert parse_scales("1,0.5,0,2") == (1, 0.5, 0, 2)


def test_a_size_is_two_sides_or_what_the_authors_rule_makes_of_one() -> None:
    model = small_model("v2")
    assert network_size_hw("70x98", model) == (70, 98)
    assert network_size_hw("252", model) == (252, 448)
    assert network_size_hw(None, model) == (518, 924)
    assert network_size_hw("252", model, (100, 100)) == (252, 252)
    for text in ("0x14", "14x14x14", "-14"):
        with pytest.raises(ValueError, match="cannot read the size"):
            network_size_hw(text, model)
