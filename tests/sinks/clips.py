"""A tiny clip with known depth, and runs of it into folders, for the sinks' tests."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dptstream.frames import DepthFrame, VideoFrame
from dptstream.geometry import DepthKind, Intrinsics
from dptstream.sinks import DepthFolder, FeedInfo, FolderOptions

SIZE_HW = (18, 26)
DEPTH_HW = (14, 21)
TIME_BASE = Fraction(1, 12800)
CUTS = (0, 5)
COUNT = 12
UNEVEN_PTS = (0, 512, 1100, 1500, 2048, 2560, 3000, 3600, 4096, 4608, 5632, 6144)
"""No two steps alike for long: variable frame rate."""


def toy_feed(kind: DepthKind = DepthKind.RELATIVE_INVERSE, **changes: object) -> FeedInfo:
    height, width = SIZE_HW
    feed = FeedInfo(
        name="toy",
        location="toy.mp4",
        width=width,
        height=height,
        time_base=TIME_BASE,
        average_rate=Fraction(25),
        frame_count=COUNT,
        has_audio=False,
        intrinsics=Intrinsics.from_fov_x(1.0, width, height),
        kind=kind,
        model={"name": "toy", "license": "Apache-2.0", "sha256": "ab12"},
        settings={"size": 14},
    )
    return replace(feed, **changes)  # type: ignore[arg-type]


def toy_depth(sequence: int) -> NDArray[np.float32]:
    """A slope from 2 to 8 with a box before it that grows nearer; the second shot lies 1 higher."""
    height, width = DEPTH_HW
    slope = np.linspace(2, 7, width, dtype=np.float32)[None] + np.linspace(0, 1, height, dtype=np.float32)[:, None]
    slope[4:9, 5:11] += 1 + 0.05 * sequence
    return slope + np.float32(sequence >= CUTS[1])


def toy_picture(sequence: int, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(sequence).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (size_hw[1], size_hw[0])), np.uint8)


def toy_frame(
    sequence: int,
    kind: DepthKind = DepthKind.RELATIVE_INVERSE,
    *,
    depth: NDArray[np.float32] | None = None,
    size_hw: tuple[int, int] = SIZE_HW,
    cuts: Sequence[int] = CUTS,
) -> DepthFrame:
    pts = UNEVEN_PTS[sequence] if sequence < len(UNEVEN_PTS) else sequence * 512
    return DepthFrame(
        depth=toy_depth(sequence) if depth is None else depth,
        kind=kind,
        video=VideoFrame(toy_picture(sequence, size_hw), sequence, pts, TIME_BASE),
        scene_cut=sequence in cuts,
    )


def toy_frames(kind: DepthKind = DepthKind.RELATIVE_INVERSE, count: int = COUNT) -> Iterator[DepthFrame]:
    return (toy_frame(sequence, kind) for sequence in range(count))


def run(
    options: FolderOptions, feed: FeedInfo | None = None, frames: Sequence[DepthFrame] | None = None
) -> DepthFolder:
    """Convert the toy clip, or ``frames``, to the end."""
    feed = feed or toy_feed()
    folder = DepthFolder(options)
    folder.open(feed)
    for frame in toy_frames(feed.kind) if frames is None else frames:
        if folder.next_sequence is not None and frame.video.sequence >= folder.next_sequence:
            folder.write(frame)
    folder.close(complete=True)
    return folder


def digests(directory: Path) -> dict[str, str]:
    """Return the hash of every file below ``directory``, by its relative path."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
