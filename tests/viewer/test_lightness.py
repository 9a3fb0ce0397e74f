"""What an import of the viewer brings along: it runs on machines that compute no depth."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "av", "cv2", "open3d", "PIL", "OpenEXR"}
PROGRAM = "import sys, {}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
BLOCKED = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(lambda name, *rest: None if name in ("torch", "av") else find(name, *rest))
"""
"""As if these had never been installed."""


@pytest.mark.parametrize("module", ["window", "shots", "live", "sequence", "scene", "exports", "keys"])
def test_importing_a_part_of_the_viewer_loads_nothing_heavy(module: str) -> None:
    words = [sys.executable, "-c", PROGRAM.format(f"dptstream.viewer.{module}")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    loaded = subprocess.run(words, env=environment, text=True, capture_output=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)


@pytest.mark.usefixtures("drawn")
def test_a_feed_is_viewed_where_torch_and_pyav_cannot_be_imported(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    words = [sys.executable, "-m", "tests.viewer.without_torch"]
    done = subprocess.run(words, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=800)
    assert done.returncode == 0, done.stderr
    assert "viewed a feed without torch and av" in done.stdout
