"""Depth sequences on the disk for Blender's tests, written by dptstream's own sink, and what they should become."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from dptstream.frames import DepthFrame
from dptstream.geometry import DepthKind, Intrinsics, unproject
from dptstream.sinks import FolderOptions, read_manifest
from tests.sinks.clips import COUNT, SIZE_HW, run, toy_feed, toy_frame

CAMERA = Intrinsics(30.0, 28.0, 11.5, 9.75, SIZE_HW[1], SIZE_HW[0])
"""Neither square pixels nor a centred principal point, so that nothing can be mixed up."""


def steady_frames(kind: DepthKind, count: int = COUNT) -> list[DepthFrame]:
    """Return the toy clip's frames, one each 40 ms."""
    frames = (toy_frame(sequence, kind) for sequence in range(count))
    return [replace(frame, video=replace(frame.video, pts=512 * place)) for place, frame in enumerate(frames)]


def write_folder(
    folder: Path,
    kind: DepthKind = DepthKind.RELATIVE_INVERSE,
    *,
    location: str = "",
    steady: bool = True,
    **options: object,
) -> Path:
    """Write the toy clip as ``convert`` does."""
    feed = toy_feed(
        kind, intrinsics=CAMERA, location=location or "https://example.org/toy.mp4", average_rate=Fraction(25)
    )
    formats = options.pop("formats", ("exr",))
    frames = steady_frames(kind) if steady else [toy_frame(sequence, kind) for sequence in range(COUNT)]
    run(FolderOptions(folder, formats=formats, **options), feed, frames)  # type: ignore[arg-type]
    return folder


def expected(folder: Path, place: int, near: float = 1.0, far: float = 4.0) -> NDArray[np.float32]:
    """Return (H * W, 3) where the pixels of a frame's EXR belong in Blender: x right, y forward, z up."""
    manifest = read_manifest(folder)
    rows, values = manifest["frames"], manifest["values"]
    assert isinstance(rows, list)
    assert isinstance(values, dict)
    depth = OpenEXR.File(str(folder / rows[place]["files"]["exr"])).channels()["Y"].pixels.astype(np.float32)
    low, high = shot_range(manifest, place)
    if values["kind"] == "relative_inverse":
        share = np.maximum((depth - low) / (high - low), 0)
        share = np.where(share > 1, 2 - 1 / np.maximum(share, 1), share)
        depth = 1 / (share / near + (1 - share) / far)
    elif values["name"] == "inverse_depth":
        depth = 1 / depth
    elif values["unit"] != "m":
        depth = depth * far / high
    points = unproject(depth.astype(np.float32), CAMERA).reshape(-1, 3)
    return points[:, (0, 2, 1)] * np.float32((1, 1, -1))


def shot_range(manifest: dict[str, object], place: int) -> tuple[float, float]:
    """Return the display range of a frame; of its shot's values where no mapping was recorded."""
    mappings, rows = manifest["mappings"], manifest["frames"]
    assert isinstance(mappings, list)
    assert isinstance(rows, list)
    for run_of_frames in mappings:
        if run_of_frames["first"] <= place < run_of_frames["end"]:
            return run_of_frames["display"]["low"], run_of_frames["display"]["high"]
    cuts = [at for at, row in enumerate(rows) if row["scene_cut"]] + [len(rows)]
    first = max(cut for cut in [0, *cuts] if cut <= place)
    shot = rows[first : min(cut for cut in cuts if cut > place)]
    return min(row["range"][0] for row in shot), max(row["range"][1] for row in shot)
