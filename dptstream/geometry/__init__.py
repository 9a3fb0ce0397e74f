"""Cameras, depth kinds, points and ranges to show, in numpy alone. Knows neither torch nor any file format."""

from .camera import Intrinsics
from .depth import DepthKind
from .display_range import RangeState, step_range
from .unproject import edge_mask, unproject

__all__ = ["DepthKind", "Intrinsics", "RangeState", "edge_mask", "step_range", "unproject"]
