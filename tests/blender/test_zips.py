"""The zips: what is in them, what Blender's own tool says of them, and which of them a Blender picks."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import dptstream

from .conftest import PLATFORM, ROOT
from .environments import Blender, extension_tool, pythons

HEAVY = ("torch", "av", "cv2", "numpy", "open3d")


def manifest_of(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_the_manifests_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    manifest = tomllib.loads((ROOT / "blender_addon/blender_manifest.toml").read_text("utf-8"))
    assert manifest["version"] == project["version"]


def test_building_without_blender_or_wheels_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "blender_addon/build.py"), f"--output={tmp_path / 'zips'}"]
    told = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": str(tmp_path)}, timeout=60)
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].endswith("name its tool, as --blender-ext .../bl_pkg/cli/blender_ext.py")
    (tmp_path / "wheels").mkdir()
    tool = [f"--blender-ext={tmp_path / 'any.py'}", f"--wheels={tmp_path / 'wheels'}"]
    told = subprocess.run([*command, *tool], capture_output=True, text=True, timeout=100)
    assert told.returncode == 1
    assert "No matching distribution" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("python", pythons() or [""])
def test_blenders_own_tool_finds_nothing_wrong_with_the_zips(python: str, zips: Path) -> None:
    found = sorted(zips.glob("*.zip"))
    assert len(found) == 2
    for path in found:
        told = subprocess.run(
            [sys.executable, str(extension_tool(python)), "validate", str(path)], capture_output=True, text=True
        )
        assert told.returncode == 0, told.stdout + told.stderr
        assert "warning" not in (told.stdout + told.stderr).lower()


def test_a_zip_holds_the_extension_the_light_half_and_one_wheel(zips: Path) -> None:
    package = Path(dptstream.__file__).parent
    light = {"dptstream/LICENSE"} | {
        f"dptstream/{path.relative_to(package).as_posix()}"
        for name in ("__init__.py", "errors.py", "geometry", "wire")
        for path in ([package / name] if name.endswith(".py") else (package / name).glob("*.py"))
    }
    own = {path.name for path in (ROOT / "blender_addon").glob("*.py")} - {"build.py"}
    for path in zips.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            names = {name for name in archive.namelist() if not name.endswith("/")}
        wheels = {name for name in names if name.startswith("wheels/")}
        assert len(wheels) == 1
        assert "pyzmq" in next(iter(wheels))
        assert names - wheels == own | light | {"blender_manifest.toml", "LICENSE"}
        assert path.stat().st_size < 2_000_000


def test_the_shared_code_in_the_zip_is_the_projects_own_byte_for_byte(zips: Path) -> None:
    package = Path(dptstream.__file__).parent
    with zipfile.ZipFile(next(zips.glob("*.zip"))) as archive:
        for name in archive.namelist():
            if name.startswith("dptstream/") and name.endswith(".py"):
                assert archive.read(name) == (package / name.removeprefix("dptstream/")).read_bytes(), name


def test_the_ranges_of_blender_versions_meet_without_gap_or_overlap(zips: Path) -> None:
    entries = json.loads((zips / "index.json").read_text("utf-8"))["data"]
    assert all(entry["platforms"] == [PLATFORM] for entry in entries)
    spans = sorted((entry["blender_version_min"], entry.get("blender_version_max")) for entry in entries)
    assert spans == [("4.2.0", "5.1.0"), ("5.1.0", None)]


@pytest.mark.parametrize("python", pythons() or [""])
def test_blender_picks_the_zip_made_for_it_from_the_index(python: str, zips: Path, tmp_path: Path) -> None:
    blender = Blender(python, tmp_path)
    version = tuple(blender.call("inside.version"))
    (wheel,) = blender.call("inside.install_from_index", index=(zips / "index.json").as_uri())
    assert blender.close() == 0
    assert ("cp311-cp311" if version < (5, 1) else "abi3") in wheel
