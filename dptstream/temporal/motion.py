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
    carried = before
    if motion and min(height, width) >= LEAST_SIDE and not np.array_equal(before, now):
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
        found = search.calc(now, before, None)
        flow = np.ascontiguousarray(found.transpose(2, 0, 1))
        x = flow[0] + np.arange(width, dtype=np.float32)
        y = flow[1] + np.arange(height, dtype=np.float32)[:, None]
        carried = np.asarray(cv2.remap(before, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE), np.uint8)
    difference = cv2.subtract(now, carried, dtype=cv2.CV_32F)
    difference -= np.median(difference[::2, ::2])
    difference = cv2.blur(difference, (3, 3)) / np.float32(sigma)
    return Motion(flow, np.asarray(np.exp(-np.square(difference)), np.float32))
