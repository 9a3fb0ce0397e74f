"""A frame's depth as coloured points: distances for every kind of depth, edges cut. Opens no file."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import OutputResize
from ..geometry import DepthKind, Intrinsics, edge_mask, unproject
from .mapping import nearness

NEAR_UNITS = 1.0
"""Distance given to the near end of the range of relative inverse depth, in scene units."""
FAR_UNITS = 4.0
"""Distance given to the far end of the range of relative inverse depth, in scene units."""


def distances(
    depth_hw: NDArray[np.float32], kind: DepthKind, display_range: tuple[float, float]
) -> NDArray[np.float32]:
    """Return distances along the optical axis; 0 where there is none.

    Depth, metric or relative, is a distance already. Relative inverse depth lacks a scale and a shift:
    the ends of its range are set to 1 and 4 units and what lies between goes by the inverse, which
    keeps straight things straight if the unknown shift is guessed well, and looks plausible if not.
    """
    if kind is DepthKind.RELATIVE_INVERSE:
        near_share = nearness(depth_hw, *display_range, larger_is_nearer=True)
        far_end, near_end = 1 / FAR_UNITS, 1 / NEAR_UNITS
        found = 1 / (far_end + near_share * np.float32(near_end - far_end))
        return np.where(np.isfinite(depth_hw), found, np.float32(0)).astype(np.float32)
    return np.where(np.isfinite(depth_hw) & (depth_hw > 0), depth_hw, np.float32(0))


def grid_camera(
    camera: Intrinsics, size_hw: tuple[int, int], picture_hw: tuple[int, int], output_resize: OutputResize
) -> Intrinsics:
    """Return the camera of a depth map of ``size_hw`` which ``output_resize`` brings to ``picture_hw``."""
    (height, width), (picture_height, picture_width) = size_hw, picture_hw
    full = camera.scaled_to(picture_width, picture_height)
    if output_resize != "bilinear_corners" or min(height, width) < 2:
        return full.scaled_to(width, height)
    # The centres of the corner samples lie on the centres of the picture's corner pixels.
    step_x = max(picture_width - 1, 1) / (width - 1)
    step_y = max(picture_height - 1, 1) / (height - 1)
    return Intrinsics(
        fx=full.fx / step_x,
        fy=full.fy / step_y,
        cx=(full.cx - 0.5) / step_x + 0.5,
        cy=(full.cy - 0.5) / step_y + 0.5,
        width=width,
        height=height,
        origin=full.origin,
    )


def colored_points(
    distance_hw: NDArray[np.float32], camera: Intrinsics, picture_hwc: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return (N, 3) points, x right, y down, z forward, and their (N, 3) colours, without edges and holes."""
    height, width = distance_hw.shape
    colors = np.asarray(cv2.resize(picture_hwc, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    keep = (distance_hw > 0) & ~edge_mask(distance_hw)
    return unproject(distance_hw, camera)[keep], colors[keep]
