"""What is known for certain about a picture: its depth, and where each point was one frame before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import Intrinsics

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrueMotion:
    """Where the surface points of a picture were in the picture before it."""

    flow: Float
    """(h, w, 2) pixels: the point at ``(x, y)`` was at ``(x, y) + flow`` one frame before."""
    inverse_depth_before: Float
    """(h, w) 1/m: inverse depth of the same surface point, one frame before, seen from the camera of then."""
    visible_before: Mask
    """(h, w): whether that point was inside the picture and not hidden one frame before."""


@dataclass(frozen=True, slots=True, eq=False)
class TruthFrame:
    """One picture with its exact depth."""

    image: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    inverse_depth: Float
    """(h, w) 1/m, larger is nearer; 0 where depth is unknown."""
    pts_seconds: float
    """Presentation time."""
    first_of_shot: bool = False
    """Whether a new shot begins here."""
    motion: TrueMotion | None = None
    """None on the first frame of a shot, and where the data set has no flow."""
    moving: Mask | None = None
    """(h, w): pixels of things that move by themselves; None where unknown."""
    world_from_camera: NDArray[np.float64] | None = None
    """(4, 4) camera pose, metres, OpenCV axes; None where unknown."""
    intrinsics: Intrinsics | None = None
    """The camera for this picture's size; None where unknown."""

    @property
    def valid(self) -> Mask:
        """(h, w): where depth is known."""
        return np.asarray(self.inverse_depth > 0)
