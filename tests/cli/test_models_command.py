"""`dptstream models`: list, download, path, remove, verify, against a server on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dptstream.cli import run
from dptstream.models import catalog
from dptstream.models.catalog import find
from tests.models.faulty_server import Served, Server, serving

NAME = "midas-swinv2-tiny-256"
CONTENT = bytes(range(256)) * 40
ADDRESS = "/isl-org/MiDaS/releases/download/v3_1/dpt_swin2_tiny_256.pt"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as running:
        running.files[ADDRESS] = Served(CONTENT)
        monkeypatch.setenv("DPTSTREAM_CACHE", str(tmp_path / "models"))
        monkeypatch.setenv("DPTSTREAM_GITHUB_ENDPOINT", running.url)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        yield running


def test_the_list_shows_licences_and_what_is_here(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "download", NAME]) == 0
    capsys.readouterr()
    assert run(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if NAME in line).split() == [NAME, "yes", "MIT", "inverse", "172", "fast"]
    assert "CC-BY-NC-4.0" in next(line for line in lines if "depth-anything-v2-large" in line)
    assert any("non-commercial" in line and "--accept-license" in line for line in lines)


def test_the_list_for_machines_is_one_object_a_line(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(entries) == len(catalog.ENTRIES)
    small = next(entry for entry in entries if entry["name"] == "depth-anything-v2-small")
    assert (small["license"], small["installed"], small["kind"]) == ("Apache-2.0", False, "relative_inverse")


def test_the_list_of_installed_models_holds_what_was_downloaded(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["models", "download", NAME])
    capsys.readouterr()
    assert run(["models", "list", "--installed", "--json"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert NAME in names
    assert "depth-anything-v2-small" not in names


def test_download_shows_the_licence_and_prints_the_path(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "download", NAME]) == 0
    printed = capsys.readouterr()
    assert f"{NAME}: weights under MIT, from https://github.com" in printed.err
    assert Path(printed.out.strip()).read_bytes() == CONTENT
    assert run(["models", "path", NAME]) == 0
    assert capsys.readouterr().out == printed.out


def test_non_commercial_weights_are_refused_without_consent(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "download", "depth-anything-v2-large"]) == 1
    assert "are CC-BY-NC-4.0: no commercial use" in capsys.readouterr().err
    assert server.requests == []
    assert run(["models", "download", "depth-anything-v2-large", "--accept-license"]) == 1
    assert "404" in capsys.readouterr().err


def test_verify_tells_a_damaged_file(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["models", "download", NAME])
    assert run(["models", "verify", NAME]) == 0
    assert "as published" in capsys.readouterr().out
    (tmp_path / "models" / find(NAME).file).write_bytes(CONTENT[:-1])
    assert run(["models", "verify", NAME]) == 1
    assert "DAMAGED" in capsys.readouterr().out


def test_remove_says_what_it_freed(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["models", "download", NAME])
    capsys.readouterr()
    assert run(["models", "remove", NAME, "dpt-large"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{NAME}: 10 kB freed", "dpt-large: was not here"]
    assert not (tmp_path / "models" / find(NAME).file).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["path", NAME], f"{NAME} is not on this machine; fetch it with: dptstream models download {NAME}"),
        (["path", "depth-anything"], "did you mean"),
        (["verify", NAME], "is not on this machine"),
        (["remove", "tiny"], "comes with dptstream"),
        (["download"], "name at least one model"),
    ],
)
def test_faults_are_one_line_and_a_failure(
    arguments: list[str], message: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
