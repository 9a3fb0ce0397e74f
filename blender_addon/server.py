"""A ``dptstream serve`` of our own: a process started from the user's Python, and its log. Knows no bpy."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_LINES = 400
"""Lines kept of the log."""
_STOP_SECONDS = 3.0
# On Windows: no console window beside Blender's, and Ctrl-Break for this process alone.
_WINDOWS_FLAGS = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


@dataclass(frozen=True, slots=True)
class Order:
    """What to serve, and how."""

    python: str
    """The Python that has dptstream."""
    location: str
    """A file, a pattern of pictures, a camera."""
    endpoint: str
    """Where to serve."""
    control: str = ""
    """Where to take orders; empty for the port after that of ``endpoint``."""
    model: str = ""
    """Name of the network; empty for dptstream's default."""
    size: int = 0
    """Size the network works at; 0 for its own."""
    smoothing: str = "default"
    """Preset of smoothing."""
    loop: bool = False
    """Whether a file begins again at its end."""

    def command(self) -> list[str]:
        """Return the command's words."""
        words = [self.python, "-m", "dptstream", "serve", f"--bind={self.endpoint}", f"--temporal={self.smoothing}"]
        # A file played as fast as it can be would run away from whoever watches it.
        words.append("--live")
        words += ["--loop"] if self.loop else []
        words += [f"--control={self.control}"] if self.control else []
        words += [f"--model={self.model}"] if self.model else []
        words += [f"--size={self.size}"] if self.size else []
        return [*words, "--", self.location]


class Server:
    """A running ``dptstream serve``.

    Raises:
        OSError: The Python cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        # Neither Blender's Python paths nor its own libraries are meant for the user's Python.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment | {"PYTHONUNBUFFERED": "1"},
            creationflags=_WINDOWS_FLAGS,
        )
        self._reader = threading.Thread(target=self._read, name="dptstream-server-log", daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def log(self, count: int = LOG_LINES) -> list[str]:
        """Return the last lines of the log."""
        return list(self._lines)[-count:]

    def stop(self) -> None:
        """End the process as Ctrl-C would, and by force if that does not help; may be called twice."""
        if self.running:
            with contextlib.suppress(OSError):
                self._interrupt()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(_STOP_SECONDS)

    def _interrupt(self) -> None:
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self._process.send_signal(signal.SIGINT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.append(line.rstrip())


def camera_location(text: str) -> str:
    """Return how dptstream names the camera ``text``: a number, a device's name or path."""
    return text if text.startswith(("camera:", "/dev/")) else f"camera:{text}"


def sequence_location(first: str) -> str:
    """Return the pattern of numbered pictures that ``first`` is one of: shot.0001.png gives shot.%04d.png."""
    path = Path(first)
    stem = path.stem.rstrip("0123456789")
    digits = len(path.stem) - len(stem)
    if digits == 0:
        return first
    return str(path.with_name(f"{stem.replace('%', '%%')}%0{digits}d{path.suffix}"))


def control_endpoint(endpoint: str) -> str:
    """Return where a server at ``endpoint`` takes orders unless told otherwise: one port further."""
    head, _, port = endpoint.rpartition(":")
    return f"{head}:{int(port) + 1}" if port.isdecimal() else f"{endpoint}-control"
