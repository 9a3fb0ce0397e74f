"""``manifest.json``: what an output folder holds and what its numbers mean. The schema stands in README.md."""

import json
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from ..errors import SinkError
from ..geometry import DepthKind
from .base import FeedInfo
from .exr import channel_names
from .files import discard, sink_error
from .journal import Entry, FrameRecord
from .layout import Layout
from .options import FolderOptions
from .quantity import Quantity

MANIFEST_SCHEMA = "dptstream/manifest/1"

IDENTITY_KEYS = ("source", "model", "settings", "outputs", "values", "intrinsics")
"""Parts that say which run this is: a run is resumed only where all of them are equal."""


def identity(feed: FeedInfo, options: FolderOptions, stem: str) -> dict[str, object]:
    """Return the parts of a manifest that decide every byte written, as plain JSON values."""
    quantity = Quantity.of(feed.kind, options.encode)
    camera = feed.intrinsics
    parts = {
        "source": {
            "name": feed.name,
            "location": feed.location,
            "width": feed.width,
            "height": feed.height,
            "time_base": _ratio(feed.time_base),
            "average_rate": feed.average_rate and _ratio(feed.average_rate),
            "has_audio": feed.has_audio,
        },
        "model": feed.model,
        "settings": feed.settings,
        "outputs": {"stem": stem, **options.record()},
        "values": {
            "kind": feed.kind.value,
            "name": quantity.name,
            "unit": quantity.unit,
            "polarity": quantity.polarity,
            "meaning": _meaning(feed.kind, quantity),
            "exr_channels": list(channel_names(quantity, options.exr_channel)),
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
    }
    plain: dict[str, object] = json.loads(json.dumps(parts, default=str))
    return plain


def differences(recorded: Entry, wanted: Entry) -> list[str]:
    """Return one phrase for each thing in which two identities differ, such as ``model.sha256: a, now b``."""
    found: list[str] = []
    for key in IDENTITY_KEYS:
        _compare(key, recorded.get(key), wanted.get(key), found)
    return found


def read_manifest(path: Path | str) -> dict[str, object]:
    """Read the manifest of an output folder, given the folder or the file.

    Raises:
        SinkError: It cannot be read, is no manifest, or has a schema of another version.
    """
    path = Path(path)
    path = path / "manifest.json" if path.is_dir() else path
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise SinkError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SinkError(f"{path} is no manifest of dptstream: {error}") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != MANIFEST_SCHEMA:
        raise SinkError(f"{path} is no manifest this version reads: its schema is {schema!r}, not {MANIFEST_SCHEMA!r}")
    return dict(manifest)


def write_manifest(
    layout: Layout, head: Entry, mappings: Iterable[Entry], frames: Iterable[FrameRecord], time_base: Fraction
) -> None:
    """Write ``manifest.json`` at once; ``mappings`` and ``frames`` are streamed, so a long clip needs no memory.

    Raises:
        SinkError: It cannot be written; an earlier one is left as it was.
    """
    part = layout.scratch / f"{layout.manifest.name}.part"
    opening = {"schema": MANIFEST_SCHEMA, "generator": f"dptstream {version('dptstream')}", **head}
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(opening, indent=1).removesuffix("\n}"))
            _write_rows(file, "mappings", mappings)
            _write_rows(file, "frames", _frame_rows(layout, frames, time_base))
            file.write("\n}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(layout.manifest)
    except OSError as error:
        discard(part)
        raise sink_error(layout.manifest, error) from error


def _write_rows(file: TextIO, key: str, rows: Iterable[Entry]) -> None:
    file.write(f',\n "{key}": [')
    for count, row in enumerate(rows):
        file.write(("," if count else "") + "\n  " + json.dumps(row))
    file.write("\n ]")


def _frame_rows(layout: Layout, frames: Iterable[FrameRecord], time_base: Fraction) -> Iterator[dict[str, object]]:
    for frame in frames:
        yield {
            "sequence": frame.sequence,
            "number": layout.first_number + frame.sequence,
            "files": {name: layout.frame_name(frame.sequence, name) for name in layout.frame_formats},
            "pts": frame.pts,
            "pts_seconds": float(frame.pts * time_base),
            "width": frame.width,
            "height": frame.height,
            "range": None if frame.minimum is None else [frame.minimum, frame.maximum],
            "invalid": frame.invalid,
            "scene_cut": frame.scene_cut,
        }


def _meaning(kind: DepthKind, quantity: Quantity) -> str:
    if kind is DepthKind.RELATIVE_INVERSE:
        return "inverse depth up to an unknown scale and shift; it is neither distance nor metres"
    if quantity.inverted:
        return "one over the distance along the optical axis" + ("" if quantity.unit else ", up to an unknown scale")
    return "distance along the optical axis" + ("" if quantity.unit else ", up to an unknown scale")


def _ratio(value: Fraction) -> list[int]:
    return [value.numerator, value.denominator]


def _compare(name: str, recorded: object, wanted: object, found: list[str]) -> None:
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        for key in sorted(recorded.keys() | wanted.keys()):
            _compare(f"{name}.{key}", recorded.get(key), wanted.get(key), found)
    elif recorded != wanted:
        found.append(f"{name} was {json.dumps(recorded)}, is now {json.dumps(wanted)}")
