from pathlib import Path

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
    manifest = read_manifest(tmp_path / "d")
    expected = list(read_depth_frames(take))
    assert manifest["complete"] is True
    assert [frame["pts"] for frame in manifest["frames"]] == [frame.video.pts for frame in expected]
    for row, frame in zip(manifest["frames"], expected, strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "d" / row["files"]["npy"]), frame.at_picture_size())
    before = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert run(["convert", str(take), "-o", str(tmp_path / "d"), "--format", "npy", "--resume"]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()} == before
