"""Writes the frames of a feed as an image sequence while they come, from a thread of its own. Knows no ``bpy``."""

import itertools
import json
import queue
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from .light import wire
from .manifest_reader import MANIFEST_NAME, SCHEMA
from .picture_files import exr_bytes, png_bytes

if TYPE_CHECKING:
    from dptstream.wire import FrameMessage

FIRST_NUMBER = 1
WAITING_FRAMES = 32
"""Frames that may wait for the disk; further ones are left out, and counted."""


@dataclass(frozen=True, slots=True)
class TakeReport:
    """How a take goes; a snapshot."""

    folder: Path
    """Where its files lie."""
    frames: int
    """Frames written."""
    left_out: int
    """Frames that came faster than the disk took them."""
    ended: str
    """Why no further frame is taken, in words; empty while recording."""


@dataclass(slots=True)
class _Written:
    """What the manifest says of a take so far."""

    first: "FrameMessage | None" = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    ended: str = ""
    previous: "FrameMessage | None" = None
    seconds: Fraction = Fraction(0)
    step: Fraction = Fraction(1, 25)


class TakeWriter:
    """Writes EXR files of depth, the pictures that came with them, and at the end a manifest as ``convert`` does.

    ``offer`` may be called from any one thread and never waits. A take has one size, one kind of depth and one session:
    what differs ends it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = name
        self._waiting: queue.Queue[FrameMessage | None] = queue.Queue(WAITING_FRAMES)
        self._written = _Written()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dptstream-take", daemon=True)

    def start(self) -> None:
        """Make the folder and begin; raises OSError where it cannot be made or is there already."""
        self.folder.mkdir(parents=True)
        self._thread.start()

    def offer(self, message: "FrameMessage") -> None:
        """Take a frame to be written."""
        with self._lock:
            if self._closed or self._written.ended:
                return
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            with self._lock:
                self._written.left_out += 1

    def report(self) -> TakeReport:
        """Return how it goes."""
        with self._lock:
            written = self._written
            return TakeReport(self.folder, len(written.rows), written.left_out, written.ended)

    def close(self) -> TakeReport:
        """Write what waits, then the manifest, and return how it went; may be called twice."""
        with self._lock:
            first_time, self._closed = not self._closed, True
        if first_time:
            self._waiting.put(None)
            self._thread.join()
            if self._written.rows:
                self._write_manifest()
        return self.report()

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            with self._lock:
                ended = self._written.ended or self._difference(message)
                self._written.ended = ended
            if ended:
                continue
            try:
                self._write(message)
            except OSError as error:
                with self._lock:
                    self._written.ended = f"cannot write to {self.folder}: {error.strerror or error}"

    def _difference(self, message: "FrameMessage") -> str:
        """Return in words why ``message`` cannot belong to the take; empty where it can."""
        first = self._written.first
        if first is None:
            return ""
        if message.session != first.session or message.feed != first.feed:
            return "the feed began anew"
        if (message.depth.width, message.depth.height) != (first.depth.width, first.depth.height):
            return "the feed's size changed"
        return "" if message.depth.kind is first.depth.kind else "the kind of depth changed"

    def _write(self, message: "FrameMessage") -> None:
        values = message.depth.values()
        number = FIRST_NUMBER + len(self._written.rows)
        files = {"exr": f"{self._name}.{number:04d}.exr"}
        (self.folder / files["exr"]).write_bytes(exr_bytes(values, f"{message.depth.kind.value} by {message.model}"))
        color = self._write_color(message, number)
        if color:
            files["color"] = color
        valid = values[np.isfinite(values)]
        seconds = self._time(message)
        row: dict[str, Any] = {
            "sequence": number - FIRST_NUMBER,
            "number": number,
            "files": files,
            "pts": round(seconds / message.time_base),
            "pts_seconds": float(seconds),
            "width": message.depth.width,
            "height": message.depth.height,
            "range": [float(valid.min()), float(valid.max())] if valid.size else None,
            "invalid": int(values.size - valid.size),
            "scene_cut": bool(message.scene_cut or message.discontinuity),
        }
        with self._lock:
            written = self._written
            written.first = written.first or message
            written.rows.append(row)
            _extend_runs(written.runs, row["sequence"], message.depth.low, message.depth.high)

    def _time(self, message: "FrameMessage") -> Fraction:
        """Return the time since the take began. Where the source was wound, by hand or in a loop, it goes on as before."""
        written, previous = self._written, self._written.previous
        written.previous = message
        if previous is not None:
            step = message.pts * message.time_base - previous.pts * previous.time_base
            if step > 0 and not message.discontinuity:
                written.step = step
            written.seconds += written.step
        return written.seconds

    def _write_color(self, message: "FrameMessage", number: int) -> str:
        color: Any = message.color
        if color is None:
            return ""
        name = f"{self._name}_color.{number:04d}.{'jpg' if isinstance(color, wire.JpegColor) else 'png'}"
        # Not compressed: at 900x500 even zlib's lowest level takes 60 ms a frame, to save a third.
        content = color.data if isinstance(color, wire.JpegColor) else png_bytes(color.pixels, level=0)
        (self.folder / name).write_bytes(content)
        return name

    def _write_manifest(self) -> None:
        first, rows = self._written.first, self._written.rows
        assert first is not None
        manifest = _head(first, self._name, rows) | {"mappings": self._written.runs, "frames": rows}
        part = self.folder / f"{MANIFEST_NAME}.part"
        try:
            part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            part.replace(self.folder / MANIFEST_NAME)
        except OSError as error:
            self._written.ended = f"cannot write {self.folder / MANIFEST_NAME}: {error.strerror or error}"


def _extend_runs(runs: list[dict[str, Any]], sequence: int, low: float, high: float) -> None:
    """Note the display range of a frame, in one entry for all frames in a row that share it."""
    display = {"low": low, "high": high}
    if runs and runs[-1]["display"] == display:
        runs[-1]["end"] = sequence + 1
    else:
        codes = {"scale": 1.0, "offset": 0.0, "invalid": 0}
        runs.append({"first": sequence, "end": sequence + 1, "codes": codes, "display": display})


def _head(first: "FrameMessage", name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all of a manifest but its mappings and frames."""
    kind, camera = first.depth.kind, first.intrinsics
    values_name = {"metric": "depth", "relative": "relative_depth"}.get(kind.value, "inverse_depth")
    rate = _rate([row["pts_seconds"] for row in rows])
    return {
        "schema": SCHEMA,
        "generator": "dptstream's Blender extension",
        "complete": True,
        "source": {
            "name": first.source.name,
            "location": first.source.name,
            "width": first.source.width,
            "height": first.source.height,
            "time_base": [first.time_base.numerator, first.time_base.denominator],
            "average_rate": [rate.numerator, rate.denominator],
            "has_audio": False,
        },
        "model": {"name": first.model, "license": first.model_license},
        "settings": {"recorded": True, "temporal": first.smoothing},
        "outputs": {
            "stem": name,
            "formats": ["exr"],
            "first_number": FIRST_NUMBER,
            "half": False,
            "compression": "none",
        },
        "values": {
            "kind": kind.value,
            "name": values_name,
            "unit": kind.unit,
            "polarity": "larger is nearer" if kind.larger_is_nearer else "larger is farther",
            "meaning": "as the feed sent them",
            "exr_channels": ["Y"],
        },
        "intrinsics": {
            "fx": camera.fx,
            "fy": camera.fy,
            "cx": camera.cx,
            "cy": camera.cy,
            "width": camera.width,
            "height": camera.height,
            "origin": camera.origin,
        },
        "counts": {
            "frames": len(rows),
            "scene_cuts": sum(row["scene_cut"] for row in rows),
            "invalid_values": sum(row["invalid"] for row in rows),
        },
        "videos": {},
        "scene_cuts": [row["sequence"] for row in rows if row["scene_cut"]],
        "warnings": [],
        "notes": {},
    }


def _rate(seconds: list[float]) -> Fraction:
    steps = [after - before for before, after in itertools.pairwise(seconds) if after > before]
    return Fraction(1 / median(steps)).limit_denominator(1001) if steps else Fraction(24)
