import json
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason='OpenVINO is not installed: pip install "dptstream[openvino]"')

from dptstream.cli import run
from dptstream.errors import SinkError
from dptstream.frames import DepthFrame
from dptstream.models import openvino_network
from dptstream.models.openvino_cache import Facts
from dptstream.sinks import DepthFolder

SCENE = "synthetic:scene=wall,width=64,height=48,frames=6"


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPTSTREAM_CACHE", str(cache_folder))
    monkeypatch.setenv("DPTSTREAM_RUNTIME", "auto")


def convert(model_file: str, folder: Path, *flags: str) -> int:
    return run(["convert", SCENE, "-o", str(folder), "-m", model_file, "--size", "32", "--format", "npy", *flags])


def settings(folder: Path) -> dict[str, object]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["complete"]
    return manifest["settings"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def choose(monkeypatch: pytest.MonkeyPatch, *, openvino_is_faster: bool) -> None:
    measured = Facts(error=0.0, torch_ms=2.0, openvino_ms=1.0 if openvino_is_faster else 4.0)
    monkeypatch.setattr(openvino_network.GraphCache, "facts", lambda *_: measured)


def test_auto_says_on_the_status_line_and_in_the_manifest_what_runs_and_why(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choose(monkeypatch, openvino_is_faster=True)
    assert convert(model_file, tmp_path / "fast") == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("device"))
    assert "OpenVINO" in line
    assert "2.0 times as fast as PyTorch float32 here" in line
    assert settings(tmp_path / "fast")["runtime"] == "openvino"
    manifest = json.loads((tmp_path / "fast" / "manifest.json").read_text(encoding="utf-8"))
    assert "2.0 times as fast" in json.dumps(manifest)
    choose(monkeypatch, openvino_is_faster=False)
    assert convert(model_file, tmp_path / "slow") == 0
    assert "PyTorch" in capsys.readouterr().err
    assert (settings(tmp_path / "slow")["runtime"], settings(tmp_path / "slow")["precision"]) == ("torch", "float32")


@pytest.mark.parametrize("openvino_first", [True, False])
def test_a_resumed_run_keeps_its_runtime_and_equals_an_uninterrupted_one(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openvino_first: bool
) -> None:
    choose(monkeypatch, openvino_is_faster=openvino_first)
    assert convert(model_file, tmp_path / "whole") == 0
    write = DepthFolder.write

    def fail_at_the_fourth(sink: DepthFolder, frame: DepthFrame) -> None:
        if frame.video.sequence == 3:
            raise SinkError("the plug was pulled")
        write(sink, frame)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(DepthFolder, "write", fail_at_the_fourth)
        assert convert(model_file, tmp_path / "parts") == 1
    choose(monkeypatch, openvino_is_faster=not openvino_first)
    assert convert(model_file, tmp_path / "parts", "--resume") == 0
    assert settings(tmp_path / "parts") == settings(tmp_path / "whole")
    assert settings(tmp_path / "parts")["runtime"] == ("openvino" if openvino_first else "torch")
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_asking_for_another_runtime_does_not_resume(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choose(monkeypatch, openvino_is_faster=True)
    assert convert(model_file, tmp_path / "run") == 0
    assert convert(model_file, tmp_path / "run", "--resume", "--runtime", "torch") == 1
    assert "runtime" in capsys.readouterr().err


def test_the_variable_chooses_where_no_flag_does(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPTSTREAM_RUNTIME", "torch")
    assert convert(model_file, tmp_path / "torch") == 0
    assert settings(tmp_path / "torch")["runtime"] == "torch"
    assert convert(model_file, tmp_path / "flag", "--runtime", "openvino", "--precision", "float32") == 0
    assert (settings(tmp_path / "flag")["runtime"], settings(tmp_path / "flag")["precision"]) == ("openvino", "float32")


def test_a_variable_with_another_word_names_the_allowed_ones(
    model_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DPTSTREAM_RUNTIME", "fastest")
    assert convert(model_file, tmp_path / "none") != 0
    assert "allowed: auto, torch, openvino" in capsys.readouterr().err
