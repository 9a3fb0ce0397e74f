"""What a folder written by ``dptstream convert`` holds, frame by frame. Knows no ``bpy``; opens no picture."""

import itertools
import json
import os
import statistics
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA = "dptstream/manifest/1"
MANIFEST_NAME = "manifest.json"

Meaning = Literal["depth", "inverse_depth", "relative_inverse"]
"""What values say: a distance; one over a distance; inverse depth up to an unknown scale and shift."""
FileFormat = Literal["exr", "png16"]

_LAST_CODE = 65535
_EARLY = 0.1
"""How early a frame may come for its turn, in turns: containers round times, often to milliseconds."""
_MOST_SLOTS_PER_FRAME = 20
"""A clip with more turns than this for each frame holds long gaps, which nobody wants to sit through."""
_READABLE_CHANNELS = frozenset({"Y", "R"})
"""The only channels that Blender's image node makes grey or red of."""


class SequenceError(ValueError):
    """The folder cannot be shown; the text says why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera, in pixels; pixel centres lie at halves."""

    fx: float
    """Focal length along x."""
    fy: float
    """Focal length along y."""
    cx: float
    """Principal point, from the left edge."""
    cy: float
    """Principal point, from the top edge."""
    width: int
    """Width of the picture these numbers belong to."""
    height: int
    """Height of the picture these numbers belong to."""
    origin: str
    """Where the numbers come from; ``default``: nobody knew, 60 degrees across were taken."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the sequence."""

    number: int
    """Number in the file's name."""
    file: Path
    """Its depth."""
    color: Path | None
    """Its picture, where the folder holds pictures."""
    seconds: float
    """Presentation time, as the source counts."""
    scale: float
    """``value = scale * pixel + offset``, a pixel being what Blender reads: 0 to 1 for integers."""
    offset: float
    """See ``scale``."""
    low: float
    """Smallest value to tell apart on a display."""
    high: float
    """Largest value to tell apart on a display."""


@dataclass(frozen=True, slots=True)
class DepthSequence:
    """A depth sequence on the disk."""

    folder: Path
    """Where the files lie."""
    name: str
    """What the names of the files begin with."""
    format: FileFormat
    """The files that are read."""
    meaning: Meaning
    """What values say."""
    unit: str | None
    """``m``, ``1/m``, or None where the scale is unknown."""
    camera: Camera
    """The camera."""
    frames: tuple[Frame, ...]
    """Every frame, in order; at least one."""
    rate: Fraction
    """Frames per second at which the sequence plays."""
    steady: bool
    """Whether frames follow one another at ``rate``; else they have times of their own (variable frame rate)."""
    source: dict[str, Any]
    """Name, location and size of the pictures that the depth was made from."""
    settings: dict[str, Any]
    """Which part of the source was taken."""
    preview: dict[str, Any] | None
    """The preview video where it holds the picture beside the depth: file, and the source's time at its start."""
    model: str
    """The network and the licence of its weights, in words."""
    notes: tuple[str, ...]
    """What the user should know, a line each."""

    @property
    def is_metric(self) -> bool:
        """Whether distances are metres."""
        return self.unit in ("m", "1/m")


def find_manifest(path: Path) -> Path:
    """Return the manifest for what a user chose: a folder, its manifest, or any file beside it."""
    folder = path if path.is_dir() else path.parent
    found = path if path.suffix == ".json" and path.is_file() else folder / MANIFEST_NAME
    if not found.is_file():
        raise SequenceError(f"there is no {MANIFEST_NAME} in {folder}: choose a folder that `dptstream convert` wrote")
    return found


def read_sequence(path: Path, prefer: FileFormat | None = None) -> DepthSequence:
    """Read the folder that ``path`` names or lies in.

    Args:
        path: The folder, its manifest, or one of its files; a PNG chosen means that PNGs are wanted.
        prefer: Which files to read where there are both; None takes the chosen file's, else EXR.

    Raises:
        SequenceError: It is no such folder, its schema is of another version, or holds nothing Blender can read.
    """
    if prefer is None and path.suffix.lower() == ".png":
        prefer = "png16"
    manifest_path = find_manifest(path)
    manifest = _load(manifest_path)
    try:
        return _sequence(manifest_path.parent, manifest, prefer)
    except (KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise SequenceError(f"{manifest_path} is damaged ({error!r}): convert the clip again") from error


def shown_frames(sequence: DepthSequence) -> NDArray[np.int32]:
    """Return (turns,) which frame is shown at turn ``k``, that is ``k / rate`` seconds after the first frame."""
    count = len(sequence.frames)
    if sequence.steady:
        return np.arange(count, dtype=np.int32)
    seconds = np.array([frame.seconds for frame in sequence.frames])
    turns = (seconds - seconds[0]) * float(sequence.rate)
    asked = np.arange(round(float(turns[-1])) + 1)
    shown = np.searchsorted(turns, asked + 0.5 - _EARLY, side="right") - 1
    return np.clip(shown, 0, count - 1).astype(np.int32)


def _load(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise SequenceError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SequenceError(f"{path} is no manifest of dptstream: {error}") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise SequenceError(
            f"{path} has the schema {schema!r}, and this version reads {SCHEMA!r}: update the older one"
        )
    return dict(manifest)


def _sequence(folder: Path, manifest: dict[str, Any], prefer: FileFormat | None) -> DepthSequence:
    rows = manifest["frames"]
    if not rows:
        raise SequenceError(f"{folder} holds no frame: the run that wrote it was stopped before its first one")
    chosen = _choose_format(folder, manifest, prefer)
    meaning, unit = _meaning(manifest["values"])
    frames = tuple(_frame(folder, row, chosen, ranges) for row, ranges in zip(rows, _ranges(manifest), strict=True))
    rate, steady = _rate([frame.seconds for frame in frames], manifest["source"].get("average_rate"))
    notes = _notes(manifest, steady=steady, frames=frames)
    model = manifest["model"]
    return DepthSequence(
        folder=folder,
        name=str(manifest["outputs"]["stem"]),
        format=chosen,
        meaning=meaning,
        unit=unit,
        camera=_camera(manifest["intrinsics"], rows[0]),
        frames=frames,
        rate=rate,
        steady=steady,
        source=manifest["source"],
        settings=manifest.get("settings") or {},
        preview=_preview_with_picture(manifest),
        model=f"{model.get('name') or 'unknown'}, licence of the weights: {model.get('license') or 'unknown'}",
        notes=notes,
    )


def _choose_format(folder: Path, manifest: dict[str, Any], prefer: FileFormat | None) -> FileFormat:
    formats = manifest["outputs"]["formats"]
    order: list[FileFormat] = ["png16", "exr"] if prefer == "png16" else ["exr", "png16"]
    present = [name for name in order if name in formats]
    if not present:
        raise SequenceError(
            f"{folder} holds {', '.join(formats)}, and Blender reads exr and png16: convert again with --format exr"
        )
    channels = manifest["values"].get("exr_channels") or ["Y"]
    if present[0] == "exr" and not _READABLE_CHANNELS & set(channels):
        raise SequenceError(f"the EXR files of {folder} hold {channels} alone: convert again without --exr-channel")
    return present[0]


def _meaning(values: dict[str, Any]) -> tuple[Meaning, str | None]:
    if values["kind"] == "relative_inverse":
        return "relative_inverse", None
    return ("inverse_depth" if values["name"] == "inverse_depth" else "depth"), values["unit"]


def _frame(folder: Path, row: dict[str, Any], chosen: FileFormat, ranges: tuple[float, float, float, float]) -> Frame:
    scale, offset, low, high = ranges
    files = row["files"]
    color = files.get("color")
    return Frame(
        number=int(row["number"]),
        file=folder / files[chosen],
        color=folder / color if color else None,
        seconds=float(row["pts_seconds"]),
        scale=scale * _LAST_CODE if chosen == "png16" else 1.0,
        offset=offset if chosen == "png16" else 0.0,
        low=low,
        high=high,
    )


def _ranges(manifest: dict[str, Any]) -> list[tuple[float, float, float, float]]:
    """Return code scale, code offset, low and high of each frame; ranges of the shots where no mapping has been recorded."""
    rows = manifest["frames"]
    found = [(1.0, 0.0, *shot) for shot in _shot_ranges(rows)]
    places = {row["sequence"]: place for place, row in enumerate(rows)}
    for run in manifest.get("mappings") or ():
        codes, display = run["codes"], run["display"]
        ranges = (float(codes["scale"]), float(codes["offset"]), *_spread(display["low"], display["high"]))
        for sequence in range(run["first"], run["end"]):
            if sequence in places:
                found[places[sequence]] = ranges
    return found


def _shot_ranges(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    shots: list[list[dict[str, Any]]] = []
    for row in rows:
        if row["scene_cut"] or not shots:
            shots.append([])
        shots[-1].append(row)
    found: list[tuple[float, float]] = []
    for shot in shots:
        ranges = [row["range"] for row in shot if row["range"]] or [[0.0, 1.0]]
        found += [_spread(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(shot)
    return found


def _spread(low: float, high: float) -> tuple[float, float]:
    """Return a range that is not empty."""
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _rate(seconds: list[float], average: list[int] | None) -> tuple[Fraction, bool]:
    """Return the rate at which frames follow one another, and whether all of them do."""
    known = Fraction(*average) if average else None
    steps = [after - before for before, after in itertools.pairwise(seconds) if after > before]
    if not steps:
        return known or Fraction(24), True
    step = statistics.median(steps)
    rate = Fraction(1 / step).limit_denominator(1001)
    if known:
        # The source's own rate is exact; thinned sequences play at a whole part of it.
        part = known / max(1, round(known * Fraction(step)))
        rate = part if abs(float(part) * step - 1) < 0.02 else rate
    turns = [(moment - seconds[0]) * float(rate) for moment in seconds]
    steady = all(abs(turn - place) < 0.5 for place, turn in enumerate(turns))
    too_long = turns[-1] > _MOST_SLOTS_PER_FRAME * len(seconds) + 1000
    return max(rate, Fraction(1, 100)), steady or too_long


def _notes(manifest: dict[str, Any], *, steady: bool, frames: tuple[Frame, ...]) -> tuple[str, ...]:
    notes = list(map(str, manifest.get("warnings") or ()))
    if manifest.get("complete") is False:
        notes.append(f"the run that wrote it was stopped early: {len(frames)} frames are there")
    if not steady:
        notes.append("variable frame rate: each frame is shown at its own time")
    if len({(row["width"], row["height"]) for row in manifest["frames"]}) > 1:
        notes.append("frames differ in size: the camera is right for the first one's")
    present = {entry.name for folder in {frame.file.parent for frame in frames} for entry in os.scandir(folder)}
    missing = [frame.file.name for frame in frames if frame.file.name not in present]
    if len(missing) == len(frames):
        raise SequenceError(
            f"none of the {len(frames)} files is there, the first would be {frames[0].file}: copy them too"
        )
    if missing:
        notes.append(
            f"{len(missing)} of {len(frames)} files are missing, the first is {missing[0]}: nothing shows there"
        )
    return tuple(notes)


def _camera(camera: dict[str, Any], row: dict[str, Any]) -> Camera:
    width, height = int(row["width"]), int(row["height"])
    wide, high = width / camera["width"], height / camera["height"]
    return Camera(
        camera["fx"] * wide,
        camera["fy"] * high,
        camera["cx"] * wide,
        camera["cy"] * high,
        width,
        height,
        camera["origin"],
    )


def _preview_with_picture(manifest: dict[str, Any]) -> dict[str, Any] | None:
    video = (manifest.get("videos") or {}).get("preview")
    return dict(video) if video and manifest["outputs"].get("side_by_side") else None
