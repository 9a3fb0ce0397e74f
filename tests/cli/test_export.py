"""`dptstream export`: one line of figures, the file's name, and refusals in one line."""

from pathlib import Path

import pytest

from dptstream.cli import run

pytest.importorskip("onnxruntime", reason='needs pip install "dptstream[export]"')
pytest.importorskip("onnxscript", reason='needs pip install "dptstream[export]"')


def test_a_model_becomes_a_checked_file_named_after_it(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", model_file, "--to", "onnx", "--size", "64x96"]) == 0
    figures, file = capsys.readouterr().out.splitlines()
    assert figures.startswith("largest difference to PyTorch")
    assert figures.endswith("at 64x96")
    assert file.startswith("random-64x96.onnx (13")
    assert (tmp_path / "random-64x96.onnx").stat().st_size > 12e6


def test_a_size_that_does_not_suit_is_refused(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", model_file, "--size", "60x96", "-o", str(tmp_path / "x.onnx")]) == 1
    assert "both sides must be multiples of 16, such as 64x96" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
