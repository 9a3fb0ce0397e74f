"""Open3D and the graphics stack under it: loaded late, and where they are missing, said in one line what to install."""

import os
import subprocess
import sys
from typing import Any

from ..errors import MissingExtraError

PACKAGES = "libgl1 libegl1 libusb-1.0-0 libgomp1 libgl1-mesa-dri"
"""What Open3D needs on Debian and Ubuntu beyond its wheel."""
_PROBE_SECONDS = 60
_PROBE = """
import open3d
open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
window = open3d.visualization.Visualizer()
made = window.create_window(width=64, height=64, visible=False)
print("window" if made and window.get_render_option() is not None else "none", flush=True)
import os
os._exit(0)
"""


def load_open3d() -> Any:
    """Return the module ``open3d``; raises MissingExtraError where it or a library it needs is missing."""
    try:
        import open3d
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "open3d":
            raise MissingExtraError(f"Open3D lacks the Python package {error.name}: pip install {error.name}") from None
        raise MissingExtraError(
            'the point-cloud window needs Open3D: pip install "dptstream[viewer]"; '
            "or see it in a browser, which needs none: dptstream view --web"
        ) from None
    except (ImportError, OSError) as error:  # a library that the loader does not find
        raise MissingExtraError(_advice(" ".join(str(error).split()))) from None
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


def check_graphics() -> None:
    """Open a tiny window in a process of its own, which may die of it; raises MissingExtraError where that fails."""
    load_open3d()
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise MissingExtraError(_advice(f"no window opened within {_PROBE_SECONDS} s")) from None
    if "window" not in probe.stdout.split():
        lines = [line.strip() for line in (probe.stderr + probe.stdout).splitlines() if line.strip()]
        why = lines[-1] if lines else f"the graphics stack ended the process ({probe.returncode})"
        raise MissingExtraError(_advice(why))


def _advice(why: str) -> str:
    display = "" if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else " (no DISPLAY is set)"
    if sys.platform != "linux":
        return f"Open3D cannot open a window: {why[:200]}; update the graphics driver, or use: dptstream view --web"
    return (
        f"Open3D cannot open a window{display}: {why[:200]}; install its libraries (Debian, Ubuntu: apt-get install "
        f"{PACKAGES}), or use: dptstream view --web"
    )
