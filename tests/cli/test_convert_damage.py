"""What may be wrong with an input or output, as the user of the command line meets it."""

import os
from pathlib import Path

import numpy as np
import pytest

from dptstream.cli import run
from dptstream.sinks import read_manifest
from tests.media import write_sound

from .test_convert import convert, one_line


def small(model_file: str) -> tuple[object, ...]:
    return ("-m", model_file, "--size", 32, "--format", "npy")


def test_a_file_with_sound_alone_is_named(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "song.m4a")
    assert convert(tmp_path / "song.m4a", "-o", tmp_path / "d", *small(model_file)) == 1
    line = one_line(capsys)
    assert "song.m4a" in line
    assert "video" in line
    assert not (tmp_path / "d").exists()


def test_an_empty_file_is_named(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert convert(tmp_path / "empty.mp4", "-o", tmp_path / "d", *small(model_file)) == 1
    assert "empty.mp4" in one_line(capsys)


def test_corrupt_packets_are_counted_and_the_rest_is_converted(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(Path(clip).read_bytes())
    noise = np.random.default_rng(0)
    start = data.index(b"mdat") + 4
    for place in range(start + 150_000, start + 190_000, 7):
        data[place] = int(noise.integers(256))
    (tmp_path / "torn.mp4").write_bytes(data)
    code = convert(tmp_path / "torn.mp4", "-o", tmp_path / "d", *small(model_file))
    seen = capsys.readouterr().err
    assert code == 3
    assert "Traceback" not in seen
    assert "warning" in seen
    assert 60 < read_manifest(tmp_path / "d")["counts"]["frames"] <= 110


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read and write everything")
def test_what_may_not_be_read_or_written_is_named(
    clip: str, model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(Path(clip).read_bytes())
    secret.chmod(0)
    assert convert(secret, "-o", tmp_path / "d", *small(model_file)) == 1
    assert "secret.mp4" in one_line(capsys)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert convert(clip, "-o", locked / "d", *small(model_file)) == 1
    assert "locked" in one_line(capsys)


def test_a_checkpoint_that_is_none_is_named(clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.pth").write_text("<!DOCTYPE html><title>Sign in</title>")
    assert run(["convert", clip, "-o", str(tmp_path / "d"), "--model", str(tmp_path / "weights.pth")]) == 1
    assert "weights.pth" in one_line(capsys)
    assert not (tmp_path / "d").exists()
