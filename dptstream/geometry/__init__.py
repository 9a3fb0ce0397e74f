"""Cameras, depth kinds and points, in numpy alone. Knows neither torch nor any file format."""

from .camera import Intrinsics
from .depth import DepthKind
from .unproject import edge_mask, unproject

__all__ = ["DepthKind", "Intrinsics", "edge_mask", "unproject"]
