"""Depth maps to points in space."""

import numpy as np
from numpy.typing import NDArray

from .camera import Intrinsics


def unproject(depth_hw: NDArray[np.float32], intrinsics: Intrinsics) -> NDArray[np.float32]:
    """Back-project a depth map through a pinhole camera.

    Args:
        depth_hw: (H, W) distance along the optical axis, in any unit; H and W may differ from the
            intrinsics' size, which are then scaled.
        intrinsics: The camera; pixel centres lie at half-integer coordinates.

    Returns:
        (H, W, 3) float32 points in the OpenCV convention (x right, y down, z forward), in the unit of
        ``depth_hw``.
    """
    height, width = depth_hw.shape
    camera = intrinsics.scaled_to(width, height)
    rays_x = ((np.arange(width) + 0.5 - camera.cx) / camera.fx).astype(np.float32)
    rays_y = ((np.arange(height) + 0.5 - camera.cy) / camera.fy).astype(np.float32)
    points = np.empty((height, width, 3), np.float32)
    np.multiply(depth_hw, rays_x[None, :], out=points[..., 0])
    np.multiply(depth_hw, rays_y[:, None], out=points[..., 1])
    points[..., 2] = depth_hw
    return points


def edge_mask(depth_hw: NDArray[np.float32], *, tolerance: float = 0.1) -> NDArray[np.bool_]:
    """Mark pixels that lie beside a jump in depth, where surfaces are stretched or points fly.

    Args:
        depth_hw: (H, W) distances, > 0 where valid.
        tolerance: Largest allowed step to a neighbour, as a share of the nearer of the two distances.

    Returns:
        (H, W) bool, True beside a jump.
    """
    edge = np.zeros(depth_hw.shape, bool)
    for axis in (0, 1):
        ahead = np.moveaxis(depth_hw, axis, 0)
        step = np.abs(ahead[1:] - ahead[:-1]) > tolerance * np.minimum(ahead[1:], ahead[:-1])
        view = np.moveaxis(edge, axis, 0)
        view[1:] |= step
        view[:-1] |= step
    return edge
