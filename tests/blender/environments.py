"""Real Blenders for tests: each is a Python that has ``bpy``, run as a process of its own and asked over pipes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

VARIABLE = "DPTSTREAM_BPY_PYTHON"
"""Environment variable that names the Pythons, parted as PATH is."""
WORKER = Path(__file__).with_name("worker.py")
CALL_SECONDS = 120.0


def pythons() -> list[str]:
    """Return the Pythons with ``bpy`` that the environment names."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def extension_tool(python: str) -> Path:
    """Return Blender's own tool for building and validating extensions."""
    code = "import importlib.util; print(importlib.util.find_spec('bpy').submodule_search_locations[0])"
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, timeout=300).stdout.strip()
    return next(Path(found).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))


class Blender:
    """One Blender process. Functions of modules beside ``worker.py`` are called in it.

    Args:
        python: The Python that has ``bpy``.
        resources: Folder for the user's preferences and extensions, so that nobody's own are touched.
    """

    def __init__(self, python: str, resources: Path) -> None:
        self.python = python
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._log = (resources / "log.txt").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment | {"BLENDER_USER_RESOURCES": str(resources), "OMP_NUM_THREADS": "1"},
        )

    def call(self, function: str, **arguments: object) -> Any:
        """Call ``module.function`` in Blender and return what it returns, which JSON must be able to hold.

        Raises:
            AssertionError: It raised, or Blender died; the text holds its traceback or log.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise AssertionError(f"Blender died in {function}:\n{self.log()[-3000:]}")
        reply = json.loads(answer)
        if "error" in reply:
            raise AssertionError(f"{function} failed in Blender:\n{reply['error']}")
        return reply["result"]

    def log(self) -> str:
        """Return what Blender printed so far."""
        self._log.flush()
        self._log.seek(0)
        return self._log.read()

    def close(self) -> int:
        """End the process as a user's quitting does; return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            return self._process.wait(CALL_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._log.close()
