"""How the picture moved since the frame before, on a small grey copy of it. Knows no depth."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Grey = NDArray[np.uint8]

THUMBNAIL_WIDTH = 256
"""Motion is sought at this width: enough for smoothing, and one or two milliseconds of one core."""
LEAST_SIDE = 16
"""Pictures smaller than this are taken to stand still: the search has no room in them."""
TREMBLE = 2.5
"""Motion up to this many thumbnail pixels may be the search's own trembling."""
STILLNESS = 0.5
"""By how much standing still may explain the brightness worse, 0..255, and be believed."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Backward motion between two thumbnails."""

    flow: Float
    """(2, h, w) x and y in thumbnail pixels: what is at ``(x, y)`` was at ``(x, y) + flow`` one frame before."""
    confidence: Float
    """(h, w) 0..1: how well the picture agrees with the one before, carried along the flow."""


def thumbnail(image: NDArray[np.uint8]) -> Grey:
    """Return a small grey copy of an (H, W, 3) RGB picture, at most 256 wide."""
    height, width = image.shape[:2]
    if width > THUMBNAIL_WIDTH:
        size = (THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width)))
        # A whole-number step first: averaging every pixel of a large picture costs more than the search.
        step = max(1, width // (3 * THUMBNAIL_WIDTH))
        image = np.asarray(cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def estimate_motion(before: Grey, now: Grey, *, sigma: float, motion: bool = True) -> Motion:
    """Find the motion from ``now`` back to ``before``, two thumbnails of one size.

    Dense inverse search (Kroeger et al., arXiv 1603.03590) in OpenCV's fast setting. A change of brightness
    of the whole picture does not count as disagreement.

    Args:
        before: The earlier thumbnail.
        now: The later one.
        sigma: Brightness difference, 0..255, at which confidence falls to 1/e.
        motion: Whether to look for motion at all; otherwise everything is taken to stand still.
    """
    height, width = now.shape
    flow = np.zeros((2, height, width), np.float32)
    difference = _difference(now, before)
    if motion and min(height, width) >= LEAST_SIDE and not np.array_equal(before, now):
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        found = np.asarray(search.calc(now, before, None), np.float32)  # type: ignore[call-overload]
        x = found[..., 0] + np.arange(width, dtype=np.float32)
        y = found[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        carried = np.asarray(cv2.remap(before, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE), np.uint8)
        moved = _difference(now, carried)
        # The search trembles where nothing moves; what standing still explains as well stands still.
        explained = _local_mean(np.abs(difference)) < _local_mean(np.abs(moved)) + STILLNESS
        stays = explained & (np.abs(found).max(axis=-1) < TREMBLE)
        flow = np.where(stays, np.float32(0), found.transpose(2, 0, 1))
        difference = np.where(stays, difference, moved)
    return Motion(flow, np.asarray(np.exp(-np.square(difference / np.float32(sigma))), np.float32))


def _difference(now: Grey, other: Grey) -> Float:
    """Return by how much ``now`` is brighter, a little blurred, apart from a change of the whole picture."""
    difference = np.asarray(cv2.subtract(now, other, dtype=cv2.CV_32F), np.float32)
    difference -= np.median(difference[::2, ::2])
    return np.asarray(cv2.blur(difference, (3, 3)), np.float32)


def _local_mean(plane: Float) -> Float:
    return np.asarray(cv2.blur(plane, (7, 7)), np.float32)
