"""How depth is shown: what each control of a viewer holds, with the values it starts with. Draws nothing.

Filters have the names, ranges and starting values of Intel's RealSense Viewer, which is what people know. Unlike there
every filter begins switched off: what is seen is what was sent.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["points", "surface"]
ColorBy = Literal["picture", "depth"]
ColorRange = Literal["equalized", "fixed"]
ColorScheme = Literal["jet", "white_to_black", "black_to_white"]
Axes = Literal["opencv", "opengl", "blender", "unity"]
Holes = Literal["left", "farthest", "nearest"]

NEAR_UNITS = 1.0
"""Distance given to the near end of relative inverse depth, scene units."""
FAR_UNITS = 4.0
"""Distance given to the far end of relative inverse depth, scene units; `convert` writes the same into PLY files.

Rooms and streets end about four times as far away as they begin. More stretches what lies in the middle, and with it every
fault of the network: distance goes by the inverse, so its faults by the distance squared.
"""
EDGE_THRESHOLD = 0.03
"""Largest step from pixel to pixel that is no jump, as a share of the nearer distance, for a map 640 pixels wide."""


@dataclass(frozen=True, slots=True)
class Decimation:
    """Makes the map smaller: each block becomes its median (up to 3 pixels a side) or mean."""

    enabled: bool = False
    """Whether it works."""
    magnitude: int = 2
    """Pixels a side of a block, 2 to 8."""

    def __post_init__(self) -> None:
        _check("decimation magnitude", self.magnitude, 2, 8)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Leaves out what is nearer or farther."""

    enabled: bool = False
    """Whether it works."""
    minimum: float = 0.1
    """Nearest distance shown; metres, or scene units where depth has none. At least 0."""
    maximum: float = 4.0
    """Farthest distance shown, in the same unit; > ``minimum``."""

    def __post_init__(self) -> None:
        if not 0 <= self.minimum < self.maximum:
            raise ValueError(f"threshold needs 0 <= minimum < maximum; got {self.minimum:g} and {self.maximum:g}")


@dataclass(frozen=True, slots=True)
class Spatial:
    """Smooths along rows and columns and stops at edges, in inverse depth."""

    enabled: bool = False
    """Whether it works."""
    iterations: int = 2
    """Passes, 1 to 5."""
    alpha: float = 0.5
    """Share of a pixel's own value, 0.25 to 1: 1 changes nothing."""
    delta: int = 20
    """Step that counts as an edge, 1 to 50 thousandths of the frame's range of inverse depth."""

    def __post_init__(self) -> None:
        _check("spatial iterations", self.iterations, 1, 5)
        _check("spatial alpha", self.alpha, 0.25, 1)
        _check("spatial delta", self.delta, 1, 50)


@dataclass(frozen=True, slots=True)
class Temporal:
    """Steadies each pixel over time and lets go where it jumps, in inverse depth."""

    enabled: bool = False
    """Whether it works."""
    alpha: float = 0.4
    """Share of the new frame, 0 to 1: 1 changes nothing."""
    delta: int = 20
    """Step that counts as a jump, 1 to 100 thousandths of the frame's range of inverse depth."""
    persistency: int = 3
    """When a pixel without a value keeps its last one, 0 (never) to 8 (always); 3: valid in 2 of the last 4 frames."""

    def __post_init__(self) -> None:
        _check("temporal alpha", self.alpha, 0, 1)
        _check("temporal delta", self.delta, 1, 100)
        _check("temporal persistency", self.persistency, 0, 8)


@dataclass(frozen=True, slots=True)
class HoleFilling:
    """Gives pixels without a value that of a neighbour."""

    enabled: bool = False
    """Whether it works."""
    fill: Holes = "farthest"
    """The pixel to the left, or the farthest or nearest of those around."""


@dataclass(frozen=True, slots=True)
class Filters:
    """All filters; they work in this order (threshold is drawn last, so that nothing is filled in again)."""

    decimation: Decimation = field(default_factory=Decimation)
    spatial: Spatial = field(default_factory=Spatial)
    temporal: Temporal = field(default_factory=Temporal)
    hole_filling: HoleFilling = field(default_factory=HoleFilling)
    threshold: Threshold = field(default_factory=Threshold)


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """Everything that decides how a frame becomes points and colours."""

    mode: Mode = "points"
    """Points, or a surface of triangles."""
    color: ColorBy = "picture"
    """Colours of the picture; by depth where a feed has none."""
    color_range: ColorRange = "equalized"
    """For colours by depth: ``equalized`` spreads them over the frame's histogram, ``fixed`` over ``color_limits``."""
    color_limits: tuple[float, float] | None = None
    """Distances of the first and last colour, (near, far); None takes the feed's own range, which holds for a shot."""
    color_scheme: ColorScheme = "jet"
    """``jet`` goes from blue (near) to red (far)."""
    near: float = NEAR_UNITS
    """Distance given to the near end of relative inverse depth, scene units, > 0."""
    far: float = FAR_UNITS
    """Distance given to its far end, scene units, > ``near``. Nothing lies behind it: the sky becomes a backdrop there."""
    cut_far: bool = False
    """Leave that backdrop out."""
    edge_cut: bool = True
    """Cut surfaces, and leave points out, where depth jumps."""
    edge_threshold: float = EDGE_THRESHOLD
    """Largest step from pixel to pixel that is no jump, as a share of the nearer distance, for a map 640 pixels wide; see
    ``edge_tolerance``. Larger ones are none either where they go on for a while, as on a floor seen at a grazing angle."""
    sharpen_edges: bool = False
    """Move what hangs within a jump, where networks blur it, to its nearer or farther side; takes a while."""
    stride: int = 1
    """Show one pixel of each so many, along rows and along columns; at least 1."""
    voxel: float = 0.0
    """Show one point of each cube with this side, in metres or scene units; 0 shows all."""
    point_size: float = 3.0
    """Side of a point, 1 to 16 pixels of the screen."""
    fov_x_deg: float | None = None
    """Horizontal field of view, degrees; None believes the feed."""
    axes: Axes = "opencv"
    """Directions of the points: ``opencv`` x right, y down, z forward; ``opengl`` x right, y up, z backward; ``blender``
    x right, y forward, z up; ``unity`` x right, y up, z forward (left-handed)."""
    filters: Filters = field(default_factory=Filters)
    """RealSense's filters."""

    def __post_init__(self) -> None:
        if not 0 < self.near < self.far < math.inf:
            raise ValueError(f"near and far need 0 < near < far, both finite; got {self.near:g} and {self.far:g}")
        if self.color_limits is not None and not self.color_limits[0] < self.color_limits[1]:
            raise ValueError(f"color_limits need two distances, the nearer first; got {self.color_limits}")
        if not 0 < self.edge_threshold < math.inf:
            raise ValueError(f"edge_threshold must be positive; got {self.edge_threshold:g}")
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1; got {self.stride}")
        if not 0 <= self.voxel < math.inf:
            raise ValueError(f"voxel must be at least 0; got {self.voxel:g}")
        _check("point_size", self.point_size, 1, 16)
        if self.fov_x_deg is not None and not 0 < self.fov_x_deg < 180:
            raise ValueError(f"field of view must lie between 0 and 180 degrees; got {self.fov_x_deg:g}")

    def edge_tolerance(self, width: int) -> float:
        """Return the step that counts as a jump in a map of ``width`` pixels, as a share of the nearer distance.

        The same slope spreads over more pixels of a finer map, so the step from one to the next shrinks.
        """
        return self.edge_threshold * 640 / width


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}; got {value:g}")
