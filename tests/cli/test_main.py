import json
import os
import subprocess
import sys

import pytest

from dptstream.cli import run
from dptstream.cli.doctor import REQUIRED


def test_doctor_names_what_is_there_and_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    findings = {finding["topic"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert set(REQUIRED) <= set(findings)
    assert findings["default model"]["found"].startswith("tiny")
    assert all(finding["advice"] for finding in findings.values() if not finding["works"])


def test_doctor_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert "used by default" in capsys.readouterr().out


def test_a_missing_optional_part_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else found(name, *rest)
    )
    assert run(["doctor", "--json"]) == 0
    findings = {finding["topic"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["matplotlib"]["advice"] == 'pip install "dptstream[evaluate]"'


def test_a_bug_of_ours_is_one_line_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dptstream.cli import doctor

    def broken() -> list[object]:
        raise KeyError("slot")

    monkeypatch.setattr(doctor, "examine", broken)
    monkeypatch.delenv("DPTSTREAM_TRACEBACK", raising=False)
    assert run(["doctor"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "this is a bug; set DPTSTREAM_TRACEBACK=1" in line


@pytest.mark.parametrize("arguments", [[], ["transmogrify"], ["convert"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(arguments)
    assert left.value.code == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a shell's pipe")
def test_a_reader_that_goes_away_is_no_error_to_talk_about() -> None:
    command = f"{sys.executable} -m dptstream convert --help | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("usage:")
    assert done.stderr == ""


def test_bench_prints_its_figures_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    scene = "synthetic:scene=wall,width=64,height=48,frames=8"
    assert run(["bench", scene, "--frames", "4", "--rounds", "1", "--size", "32", "--format", "npy", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 4
    assert figures["ratio_to_bound"] > 0
    assert set(figures["stages"]) == {"decode", "infer", "smooth", "write"}
