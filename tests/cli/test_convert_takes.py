import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dptstream.cli import run
from dptstream.sinks import read_manifest
from dptstream.sources.recording import read_depth_frames
from tests.sinks.test_recording import record, toy_messages


def test_a_recording_converts_with_the_values_and_times_it_was_sent_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = record(tmp_path / "take.mkv", toy_messages())
    assert run(["convert", str(take), "-o", str(tmp_path / "d"), "--format", "npy"]) == 0
    assert "no network runs" in capsys.readouterr().err
    manifest: dict[str, Any] = read_manifest(tmp_path / "d")
    expected = list(read_depth_frames(take))
    assert manifest["complete"] is True
    assert [frame["pts"] for frame in manifest["frames"]] == [frame.video.pts for frame in expected]
    for row, frame in zip(manifest["frames"], expected, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "d" / row["files"]["npy"]), frame.at_picture_size())
    before = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert run(["convert", str(take), "-o", str(tmp_path / "d"), "--format", "npy", "--resume"]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()} == before


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("takes") / "take.mkv", toy_messages())


def converted(take: Path, folder: Path, *words: str) -> dict[str, Any]:
    assert run(["convert", str(take), "-o", str(folder), "--format", "npy", *words]) == 0
    return read_manifest(folder)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--start", "4f", "--end", "9f"], [4, 5, 6, 7, 8]),
        (["--start", "0.16", "--end", "0.3"], [4, 5, 6, 7]),
        (["--every", "5"], [0, 5, 10]),
        (["--start", "2f", "--every", "4"], [2, 6, 10]),
        (["--fps", "6"], [0, 4, 8]),
    ],
)
def test_only_the_part_that_was_asked_for_is_converted(
    take: Path, tmp_path: Path, words: list[str], numbers: list[int]
) -> None:
    manifest = converted(take, tmp_path, *words)
    everything = list(read_depth_frames(take))
    assert [frame["pts"] for frame in manifest["frames"]] == [everything[number].video.pts for number in numbers]
    assert [frame["sequence"] for frame in manifest["frames"]] == list(range(len(numbers)))
    for row, number in zip(manifest["frames"], numbers, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / row["files"]["npy"]), everything[number].at_picture_size())


def test_a_cut_whose_frame_is_left_out_is_that_of_the_next_one(take: Path, tmp_path: Path) -> None:
    rows = converted(take, tmp_path, "--every", "2")["frames"]
    assert [row["pts"] for row in rows if row["scene_cut"]] == [rows[0]["pts"], rows[3]["pts"]]  # the cut is at frame 5


def test_time_goes_on_through_loops_and_sessions(tmp_path: Path) -> None:
    messages = toy_messages()
    again = [replace(message, session="f" * 32, sequence=message.sequence + 12) for message in messages]
    take = record(tmp_path / "loops.mkv", [*messages, *again])
    half_a_second = [frame["pts"] for frame in converted(take, tmp_path / "d", "--start", "0.5")["frames"]]
    assert half_a_second == [message.pts for message in messages]


def test_another_part_is_another_run(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted(take, tmp_path, "--every", "5")
    assert run(["convert", str(take), "-o", str(tmp_path), "--format", "npy", "--every", "4", "--resume"]) == 1
    assert "every" in capsys.readouterr().err


def test_the_camera_that_the_user_describes_is_that_of_the_pictures(take: Path, tmp_path: Path) -> None:
    camera = converted(take, tmp_path, "--fov-x-deg", "90")["intrinsics"]
    assert camera["fx"] == pytest.approx(camera["width"] / 2 / math.tan(math.radians(45)))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--crop", "0,0,4,4"], "is a recording: its depth was made of whole pictures and is not cropped"),
        (["--start", "30"], "no frame lies within start and end; the recording has 0.48 s"),
        (["--size", "98", "--causal"], "no network runs, and its depth is as it was sent; leave --size, --causal out"),
        (["--temporal", "offline"], "leave --temporal out"),
    ],
)
def test_what_a_recording_cannot_give_is_refused_in_one_line(
    take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert run(["convert", str(take), "-o", str(tmp_path / "d"), "--quiet", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
