"""What is exactly true of a frame of a computed film."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTruth:
    """What a perfect observer knows about one frame. "Previous" is the frame given before this one."""

    depth: NDArray[np.float32]
    """(H, W) distance along the optical axis, metres."""
    flow: NDArray[np.float32]
    """(H, W, 2) backward optical flow, pixels (x, y): where the same surface point was, minus where it is."""
    occluded: NDArray[np.bool_]
    """(H, W) whether the point could not be seen in the previous frame; all True after a cut and at the start."""
    previous_depth: NDArray[np.float32]
    """(H, W) depth that the same surface point had in the previous frame, metres."""
    moving: NDArray[np.bool_]
    """(H, W) whether the surface moves in the world."""
    world_from_camera: NDArray[np.float64]
    """(4, 4) pose; metres, OpenCV axes."""
    scene_cut: bool
    """Whether a new scene begins here (also True for the first frame)."""
