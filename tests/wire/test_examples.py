"""The examples that subscribe really do, in Python and in JavaScript."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .feeding import publisher_process

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*words: str, cwd: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(
        words, cwd=cwd, env=environment, text=True, capture_output=True, check=True, timeout=300
    ).stdout


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*subscribe*")), ids=lambda path: path.name)
def test_an_example_fits_a_page(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 60


def test_the_python_examples_print_and_save_what_comes(tmp_path: Path) -> None:
    with publisher_process("tcp://127.0.0.1:*", 60, 18, 24) as (_, endpoint):
        lines = run(sys.executable, str(EXAMPLES / "03_subscribe.py"), endpoint, "5", cwd=tmp_path).splitlines()
        assert len(lines) == 6
        assert "cam1 #" in lines[0]
        assert "metric" in lines[0]
        out = run(sys.executable, str(EXAMPLES / "04_subscribe_points.py"), endpoint, "points.ply", cwd=tmp_path)
    assert out.startswith("points.ply: 432 points of cam1")
    header, _, body = (tmp_path / "points.ply").read_bytes().partition(b"end_header\n")
    assert b"element vertex 432" in header
    assert len(body) == 432 * 15


def test_the_javascript_example_understands_the_feed(tmp_path: Path) -> None:
    node = shutil.which("node")
    modules = EXAMPLES.parent / "node_modules"
    if node is None or not (modules / "zeromq").exists():
        pytest.skip("needs Node, and `npm install zeromq` in the repository")
    with publisher_process("tcp://127.0.0.1:*", 60, 18, 24) as (_, endpoint):
        lines = run(node, str(EXAMPLES / "subscribe.mjs"), endpoint, "5", cwd=tmp_path).splitlines()
    number = int(lines[0].split("#")[1].split()[0])
    assert f"24x18 metric, centre {(number + 1) / 1000:.3f}, rgb8 1296 bytes" in lines[0]
    assert lines[-1] == "5 frames, 0 lost"
