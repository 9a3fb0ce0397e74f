"""Blenders with the extension installed from its zip, as users install it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .environments import VARIABLE, Blender, extension_tool, pythons

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = {"linux": "linux-x64", "darwin": "macos-arm64", "win32": "windows-x64"}[sys.platform]


@pytest.fixture(scope="session")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with this system's zips and their index, built once."""
    if not pythons():
        pytest.skip(f"set {VARIABLE} to a Python that has bpy, or several parted as in PATH")
    output = tmp_path_factory.mktemp("zips")
    command = [sys.executable, str(ROOT / "blender_addon/build.py"), f"--output={output}", f"--platform={PLATFORM}"]
    tool = extension_tool(pythons()[-1])
    for _ in range(3):  # wheels come over a network, which may have a hiccup
        built = subprocess.run([*command, f"--blender-ext={tool}"], capture_output=True, text=True, timeout=600)
        if built.returncode == 0:
            break
    if "pip" in built.stderr and "No matching distribution" in built.stderr:
        pytest.skip("pyzmq's wheels cannot be fetched without a network")
    assert built.returncode == 0, built.stderr
    return output


@pytest.fixture(
    scope="session", params=pythons() or [""], ids=lambda python: Path(python).parts[-3] if python else "none"
)
def blender(request: pytest.FixtureRequest, zips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blender]:
    """A Blender process that has the extension, for each Python named."""
    process = Blender(request.param, tmp_path_factory.mktemp("blender"))
    version = process.call("inside.version")
    span = "4.2-5.0" if tuple(version) < (5, 1) else "5.1-on"
    process.call("inside.install", path=str(next(zips.glob(f"*-blender-{span}.zip"))))
    yield process
    assert process.close() == 0, "Blender did not end well"


@pytest.fixture
def fresh(blender: Blender) -> Blender:
    """That Blender with an empty file."""
    blender.call("inside.new_file")
    return blender
