"""Where the eye stands: views of a scene, and paths around it. OpenCV's axes throughout; draws nothing."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cloud import Cloud

Pose = NDArray[np.float64]
"""(4, 4) eye_from_scene."""

FRONT_SHARE = 0.18
"""How far the usual view stands back from where the camera was, as a share of the distance to the pivot."""
ORBIT_YAW_DEG, ORBIT_PITCH_DEG = 30.0, 8.0
"""How far an orbit swings to either side, and up and down."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a scene spans."""

    pivot: float
    """Distance of what one turns around, straight ahead of the camera."""
    nearest: float
    """Distance of its near end."""
    farthest: float
    """Distance of its far end."""


def frame_of(cloud: Cloud) -> Frame:
    """Return what ``cloud``, in OpenCV's axes, spans; 1 to 10 where it has no points."""
    depth = cloud.grid[..., 2][cloud.keep]
    if not depth.size:
        return Frame(2.0, 1.0, 10.0)
    nearest, middle, farthest = (float(np.percentile(depth, share)) for share in (1, 40, 99))
    return Frame(middle, nearest, farthest)


def orbited(frame: Frame, *, yaw_deg: float = 0.0, pitch_deg: float = 0.0, back: float = FRONT_SHARE) -> Pose:
    """Return the eye that looks at the pivot from aside.

    Args:
        frame: The scene.
        yaw_deg: The eye goes so far to the right around the pivot.
        pitch_deg: The eye goes so far up.
        back: It stands so much farther from the pivot than the camera did, as a share of the camera's distance.
    """
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    turn_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    rotation = turn_x @ turn_y
    pivot = np.array([0, 0, frame.pivot])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ pivot + [0, 0, frame.pivot * (1 + back)]
    return pose


def own_view() -> Pose:
    """Return the eye that stands where the camera stood."""
    return np.eye(4)


def swing(frame: Frame, count: int) -> Iterator[Pose]:
    """Yield ``count`` views of an orbit that swings once to either side and ends where it began."""
    for number in range(count):
        phase = 2 * math.pi * number / count
        yield orbited(
            frame, yaw_deg=ORBIT_YAW_DEG * math.sin(phase), pitch_deg=ORBIT_PITCH_DEG * (1 - math.cos(phase)) / 2
        )
