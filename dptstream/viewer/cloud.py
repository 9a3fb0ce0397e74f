"""Messages to coloured points and surfaces, in numpy alone. Opens no window and no file."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..geometry import DepthKind, Intrinsics, unproject
from ..wire import DepthPlane, FrameMessage, RawColor
from .colors import by_depth, picked
from .edges import all_corners, edge_masks, sharpened
from .settings import Axes, ViewSettings

_FAR_SHARE = 0.02
"""What lies within this share of the inverse range from its far end counts as backdrop."""

_FROM_OPENCV: dict[Axes, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "opencv": ((0, 1), (1, 1), (2, 1)),
    "opengl": ((0, 1), (1, -1), (2, -1)),
    "blender": ((0, 1), (2, 1), (1, -1)),
    "unity": ((0, 1), (1, -1), (2, 1)),
}
"""For each new axis, which old one it is and with which sign."""


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """One frame in space: a grid of points, of which some are left out."""

    grid: NDArray[np.float32]
    """(H, W, 3) points; where ``keep`` is False they mean nothing, but are finite."""
    colors: NDArray[np.uint8]
    """(H, W, 3) RGB, sRGB."""
    keep: NDArray[np.bool_]
    """(H, W) which of them are shown as points."""
    solid: NDArray[np.bool_]
    """(H - 1, W - 1) between which four neighbours there is a surface."""
    axes: Axes
    """Directions of the points."""
    unit: str | None
    """``"m"``, or None for scene units."""
    camera: Intrinsics
    """The camera that sees the grid's points in the middles of its pixels."""

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the (N, 3) points shown and their (N, 3) colours."""
        return self.grid[self.keep], self.colors[self.keep]

    def surface(self) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32]]:
        """Return (N, 3) vertices, their (N, 3) colours and (M, 3) triangles, seen counter-clockwise by the camera."""
        corners = self._triangles()
        used = np.zeros(self.keep.size, bool)
        used[corners.reshape(-1)] = True
        numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
        flat, colors = self.grid.reshape(-1, 3), self.colors.reshape(-1, 3)
        return flat[used], colors[used], numbers[corners]

    def _triangles(self) -> NDArray[np.int32]:
        """Return the (M, 3) triangles as indices into the flattened grid, seen counter-clockwise by the camera."""
        corners = square_corners(*self.keep.shape)[self.solid.reshape(-1)]
        if self.axes == "unity":  # left-handed: there the camera's counter-clockwise is clockwise
            corners = np.ascontiguousarray(corners[:, (0, 2, 1, 3, 5, 4)])
        return corners.reshape(-1, 3)


def make_cloud(
    message: FrameMessage,
    settings: ViewSettings,
    *,
    shown: tuple[float, float] | None = None,
    picture: NDArray[np.uint8] | None = None,
) -> Cloud:
    """Return what ``message`` shows in space, without filters, which have a memory: see ``scene.py``.

    Args:
        message: The frame.
        settings: How to show it.
        shown: Range of values between ``near`` and ``far``; the message's own unless given.
        picture: (H, W, 3) colours of any size, instead of the message's; needed where that one is a JPEG.
    """
    distance_hw = distances(message.depth, settings, shown)
    camera = camera_of(message, settings).scaled_to(distance_hw.shape[1], distance_hw.shape[0])
    return cloud_of(distance_hw, camera, message, settings, shown=shown, picture=picture)


def cloud_of(
    distance_hw: NDArray[np.float32],
    camera: Intrinsics,
    message: FrameMessage,
    settings: ViewSettings,
    *,
    shown: tuple[float, float] | None = None,
    picture: NDArray[np.uint8] | None = None,
) -> Cloud:
    """Return the points of a map of distances that was made of ``message``; else as ``make_cloud``.

    Args:
        distance_hw: (H, W) distances along the optical axis, 0 where there is none.
        camera: Its camera, of its size.
        message: What it was made of: it gives the colours and the unit.
        settings: How to show it.
        shown: Range of values between ``near`` and ``far``.
        picture: (H, W, 3) colours of any size, instead of the message's.
    """
    kind = message.depth.kind
    distance_hw, camera = _strided(distance_hw, camera, settings.stride)
    tolerance = settings.edge_tolerance(distance_hw.shape[1])
    if settings.sharpen_edges:
        distance_hw = sharpened(distance_hw, tolerance)
    keep, solid = edge_masks(distance_hw, tolerance if settings.edge_cut else None)
    if settings.cut_far and kind is DepthKind.RELATIVE_INVERSE:
        keep &= distance_hw < _backdrop(settings)
        solid &= all_corners(keep)
    if picture is None and isinstance(message.color, RawColor):
        picture = message.color.pixels
    if settings.color == "picture" and picture is not None:
        colors = picked(picture, camera, camera_of(message, settings))
    else:
        equalized = settings.color_range == "equalized"
        limits = settings.color_limits or shown_distances(message.depth, settings, shown)
        colors = by_depth(distance_hw, None if equalized else limits, settings.color_scheme)
    grid = turned(unproject(distance_hw, camera), settings.axes)
    if settings.voxel:
        keep = _thinned(grid, keep, settings.voxel)
    return Cloud(grid, colors, keep, solid, settings.axes, kind.unit, camera)


def distances(
    plane: DepthPlane, settings: ViewSettings, shown: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Return (H, W) distances along the optical axis, 0 where there is none; metres, or scene units.

    Metric depth is taken as it is. Relative depth is scaled so that the far end of its range lies at ``far``. Relative
    inverse depth *d* lacks a scale and a shift: ``1 / (a * d + b)`` with *a* and *b* such that the near end of its range
    lies at ``near`` and the far end at ``far``, so straight things stay straight if the shift is guessed well, and
    plausible if not; what would lie behind ``far`` is held there.
    """
    low, high = shown or (plane.low, plane.high)
    values = plane.values()
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN is what has no value
        if plane.kind is DepthKind.RELATIVE_INVERSE:
            slope = (1 / settings.near - 1 / settings.far) / (high - low)
            values *= np.float32(slope)
            values += np.float32(1 / settings.far - low * slope)
            np.maximum(values, np.float32(1 / settings.far), out=values)
            np.divide(np.float32(1), values, out=values)
        else:
            if plane.kind is DepthKind.RELATIVE and high > 0:
                values *= np.float32(settings.far / high)
            values[~(values > 0)] = 0
            return values
    np.copyto(values, np.float32(0), where=np.isnan(values))
    return values


def camera_of(message: FrameMessage, settings: ViewSettings) -> Intrinsics:
    """Return the camera of the message, with the user's field of view where that was set."""
    camera = message.intrinsics
    if settings.fov_x_deg is None:
        return camera
    focal_px = camera.width / 2 / math.tan(math.radians(settings.fov_x_deg) / 2)
    return replace(camera, fx=focal_px, fy=focal_px * camera.fy / camera.fx, origin="user")


def turned(points: NDArray[np.float32], axes: Axes) -> NDArray[np.float32]:
    """Return (..., 3) points in OpenCV's axes turned to others; the same array where nothing is to do."""
    if axes == "opencv":
        return points
    out = np.empty_like(points)
    for new, (old, sign) in enumerate(_FROM_OPENCV[axes]):
        np.multiply(points[..., old], np.float32(sign), out=out[..., new])
    return out


def _strided(
    distance_hw: NDArray[np.float32], camera: Intrinsics, stride: int
) -> tuple[NDArray[np.float32], Intrinsics]:
    """Take the middle pixel of each block, and the camera that sees those pixels."""
    stride = min(stride, *distance_hw.shape)
    if stride == 1:
        return distance_hw, camera
    first = stride // 2
    picked = np.ascontiguousarray(distance_hw[first::stride, first::stride])
    height, width = picked.shape
    moved = {name: (getattr(camera, name) - first - 0.5) / stride + 0.5 for name in ("cx", "cy")}
    return picked, replace(camera, fx=camera.fx / stride, fy=camera.fy / stride, width=width, height=height, **moved)


def _backdrop(settings: ViewSettings) -> np.float32:
    far, near = 1 / settings.far, 1 / settings.near
    return np.float32(1 / (far + (near - far) * _FAR_SHARE))


def shown_distances(
    plane: DepthPlane, settings: ViewSettings, shown: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the distances of the near and far end of the range to show."""
    low, high = shown or (plane.low, plane.high)
    if plane.kind is DepthKind.RELATIVE_INVERSE:
        return settings.near, settings.far
    scale = settings.far / high if plane.kind is DepthKind.RELATIVE and high > 0 else 1.0
    return low * scale, high * scale


def _thinned(grid: NDArray[np.float32], keep: NDArray[np.bool_], voxel: float) -> NDArray[np.bool_]:
    """Keep the first point of each cube."""
    cells = np.floor(grid[keep] / np.float32(voxel)).astype(np.int64)
    if not len(cells):
        return keep
    cells -= cells.min(axis=0)
    spans = cells.max(axis=0) + 1
    _, first = np.unique((cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2], return_index=True)
    thinned = np.zeros(keep.size, bool)
    thinned[np.flatnonzero(keep)[first]] = True
    return thinned.reshape(keep.shape)


@functools.lru_cache(maxsize=4)
def square_corners(height: int, width: int) -> NDArray[np.int32]:
    """Return ((H - 1) * (W - 1), 6) indices: two triangles in each square of four neighbours. Not to be written to."""
    corner = (np.arange(height - 1, dtype=np.int32)[:, None] * width + np.arange(width - 1, dtype=np.int32)).reshape(-1)
    right, below = corner + 1, corner + width
    return np.stack([corner, below, right, right, below, below + 1], axis=1)
