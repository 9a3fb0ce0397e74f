"""What an import of the wire brings along: a consumer such as Blender has numpy, pyzmq and nothing else of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dptstream.wire

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "cv2", "av", "OpenEXR", "open3d", "rich", "tyro"}
PROGRAM = "import sys, {}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"


@pytest.mark.parametrize(
    ("module", "absent"),
    [("dptstream.wire", HEAVY | {"zmq"}), ("dptstream.wire.subscriber", HEAVY), ("dptstream.wire.control", HEAVY)],
)
def test_importing_loads_nothing_heavy(module: str, absent: set[str]) -> None:
    words = [sys.executable, "-c", PROGRAM.format(module)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    loaded = subprocess.run(words, env=environment, text=True, capture_output=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert absent.isdisjoint(loaded)


def test_every_public_name_can_be_imported() -> None:
    assert all(hasattr(dptstream.wire, name) for name in dptstream.wire.__all__)
    assert sorted(dptstream.wire.__all__, key=str.lower) == sorted(set(dptstream.wire.__all__), key=str.lower)
