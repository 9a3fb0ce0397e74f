"""Open3D and the graphics stack under it: loaded late, and where they are missing, said in one line what to install."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import MissingExtraError

PACKAGES = "libgl1 libegl1 libusb-1.0-0 libgomp1 libgl1-mesa-dri"
"""What Open3D needs on Debian and Ubuntu beyond its wheel."""
_PROBE_SECONDS = 120
_PROBE = """
import os, sys
try:
    import open3d
except ImportError as error:
    print(f"missing {error.name or ''}" if isinstance(error, ModuleNotFoundError) else f"broken {error}", flush=True)
    os._exit(0)
open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
window = open3d.visualization.Visualizer()
made = window.create_window(width=64, height=64, visible=False)
print("window" if made and window.get_render_option() is not None else "none", flush=True)
os._exit(0)
"""


def load_open3d() -> Any:
    """Return the module ``open3d``; raises MissingExtraError where it or a library it needs is missing."""
    try:
        import open3d
    except ModuleNotFoundError as error:
        raise MissingExtraError(_missing(error.name or "open3d")) from None
    except (ImportError, OSError) as error:  # a library that the loader does not find
        raise MissingExtraError(_advice(str(error))) from None
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    return open3d


@contextmanager
def wayland_unasked() -> Iterator[None]:
    """Keep libwayland from calling it an error on stderr that a server without a desktop has no folder for it."""
    if os.environ.get("XDG_RUNTIME_DIR") or sys.platform != "linux":
        yield
        return
    os.environ["XDG_RUNTIME_DIR"] = os.devnull  # looked at, and found to hold no socket
    try:
        yield
    finally:
        os.environ.pop("XDG_RUNTIME_DIR", None)


def check_graphics() -> None:
    """Open a tiny window in a process of its own, which may die of it; raises MissingExtraError where that fails."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise MissingExtraError(_advice(f"no window opened within {_PROBE_SECONDS} s")) from None
    last = next((line for line in reversed(probe.stdout.splitlines()) if line.strip()), "")
    if last == "window":
        return
    verdict, _, what = last.partition(" ")
    if verdict == "missing":
        raise MissingExtraError(_missing(what))
    complaint = next((line.strip() for line in reversed(probe.stderr.splitlines()) if line.strip()), "")
    ended = "it found no OpenGL" if verdict == "none" else f"the graphics stack ended the process ({probe.returncode})"
    raise MissingExtraError(_advice(what or complaint or ended))


def _missing(module: str) -> str:
    if module.partition(".")[0] != "open3d":
        return f"Open3D lacks the Python package {module}: pip install {module}"
    return (
        'the point-cloud window needs Open3D: pip install "dptstream[viewer]"; '
        "or see it in a browser, which needs none: dptstream view --web"
    )


def _advice(why: str) -> str:
    why = " ".join(why.split())[:200]
    display = "" if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else " (no DISPLAY is set)"
    if sys.platform != "linux":
        return f"Open3D cannot open a window: {why}; update the graphics driver, or use: dptstream view --web"
    return (
        f"Open3D cannot open a window{display}: {why}; install its libraries (Debian, Ubuntu: apt-get install "
        f"{PACKAGES}), or use: dptstream view --web"
    )
