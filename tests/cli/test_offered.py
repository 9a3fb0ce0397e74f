"""What a running server may be asked to load."""

from pathlib import Path

import pytest

from dptstream.cli.offered import OfferedModels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one.safetensors", "two.pth", "notes.txt", "inner/three.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_names_of_the_catalogue_may_always_be_asked_for() -> None:
    assert OfferedModels("tiny").find("depth-anything-v2-small") == "depth-anything-v2-small"


@pytest.mark.parametrize("form", ["{path}", "{name}", "{stem}"])
def test_an_offered_file_is_found_by_its_path_its_name_and_its_stem(folder: Path, form: str) -> None:
    path = folder / "one.safetensors"
    asked = form.format(path=path, name=path.name, stem=path.stem)
    for files in ((path,), (folder,)):
        assert OfferedModels("tiny", files).find(asked) == str(path)


def test_the_network_served_first_may_be_asked_for_again(folder: Path) -> None:
    path = str(folder / "two.pth")
    for asked in (path, "two.pth", "two"):
        assert OfferedModels(path).find(asked) == path


@pytest.mark.parametrize(
    "asked", ["inner/three.safetensors", "three", "notes.txt", "../one.safetensors", "/etc/passwd", ""]
)
def test_what_was_not_offered_is_refused_whether_or_not_it_exists(folder: Path, asked: str) -> None:
    with pytest.raises(ValueError, match=r"there is no model .*; dptstream models list shows names, files are .*two"):
        OfferedModels("tiny", (folder,)).find(asked)


def test_a_refusal_says_how_files_are_offered(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"only if it was started with --offer FILE"):
        OfferedModels("tiny").find(str(folder / "one.safetensors"))


def test_a_name_that_means_two_files_is_refused(folder: Path) -> None:
    (folder / "one.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"'one' means several files: .*give the whole path"):
        OfferedModels("tiny", (folder,)).find("one")


def test_an_offer_that_is_none_is_refused_at_the_start(folder: Path) -> None:
    with pytest.raises(ValueError, match="no-such: there is no such file or folder"):
        OfferedModels("tiny", (folder / "no-such",)).check()
    with pytest.raises(ValueError, match=r"notes.txt: a checkpoint ends in .safetensors"):
        OfferedModels("tiny", (folder / "notes.txt",)).check()
    OfferedModels("tiny", (folder, folder / "two.pth")).check()
