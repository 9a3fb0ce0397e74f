"""Where the eye stands: views of a scene, and paths around it. OpenCV's axes throughout; draws nothing."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .cloud import Cloud

Pose = NDArray[np.float64]
"""(4, 4) eye_from_scene."""

FRONT_SHARE = 0.12
"""How far the eye stands back from where the camera was, seen from the front, as a share of the distance to the pivot."""
ORBIT_YAW_DEG, ORBIT_PITCH_DEG = 30.0, 8.0
"""How far an orbit swings to either side, and up and down."""
_OVERLAP = 1.6
"""How much larger points are drawn than they are apart: from aside they move away from one another."""
_SAMPLES = 1000
_FITTED_SHARE = 4.0
"""Per cent of the points that may stand out at each side of a view from aside."""
_FIT_ROUNDS = 12
_FITTED_DEPTH = 65.0
"""Per cent of the points, from the near end, that a view is fitted to: a backdrop would make all else small."""
_FARTHEST_SHARE = 1.5
"""The eye stands at most so many times as far from the pivot as from the front."""
_NEAREST_SHARE = 0.15
"""Nothing is let nearer to the eye than this share of the distance to the pivot."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What a scene spans."""

    pivot: float = 2.0
    """Distance of what one turns around, straight ahead of the camera."""
    farthest: float = 10.0
    """Distance of its far end."""
    sample: NDArray[np.float32] | None = None
    """(N, 3) some points of its nearer part, which a view must hold; None where it has none."""


@dataclass(frozen=True, slots=True)
class Lens:
    """What the eye sees at once."""

    focal_share: float
    """Focal length as a share of the window's height."""
    aspect: float
    """Width of the window over its height."""

    @classmethod
    def fitting(cls, cloud: Cloud, size_wh: tuple[int, int]) -> Self:
        """Return the lens of the cloud's own camera, wide enough for its whole picture to fit into the window."""
        camera, (width, height) = cloud.camera, size_wh
        focal_px = min(camera.fx / camera.width * width, camera.fy / camera.height * height)
        return cls(focal_px / height, width / height)

    def point_pixels(self, cloud: Cloud, height: int) -> float:
        """Return the side, whole pixels of a window so high, of points that leave no gaps seen from the front."""
        side = self.focal_share * height / cloud.camera.fx
        return float(min(max(math.ceil(side * _OVERLAP), 2), 16))

    @property
    def tangents(self) -> tuple[float, float]:
        """Half the width and half the height of what is seen at distance 1."""
        return self.aspect / 2 / self.focal_share, 1 / 2 / self.focal_share


def frame_of(cloud: Cloud) -> Frame:
    """Return what ``cloud``, in OpenCV's axes, spans; about 1 to 10 where it has no points."""
    places = np.flatnonzero(cloud.keep)
    if not places.size:
        return Frame()
    sample = cloud.grid.reshape(-1, 3)[places[:: max(1, places.size // _SAMPLES) | 1]]
    middle, fitted, farthest = (float(np.percentile(sample[:, 2], share)) for share in (40, _FITTED_DEPTH, 99))
    return Frame(middle, farthest, sample[sample[:, 2] <= fitted])


def own_view() -> Pose:
    """Return the eye that stands where the camera stood."""
    return np.eye(4)


def orbited(frame: Frame, tangents: tuple[float, float], *, yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> Pose:
    """Return the eye that has gone around the pivot, and stands so that the scene fits into its window.

    Args:
        frame: The scene.
        tangents: Half the width and half the height of what the eye sees at distance 1.
        yaw_deg: It goes so far to the right.
        pitch_deg: It goes so far up.
    """
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    turn_y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    rotation = turn_x @ turn_y
    pivot = np.array([0, 0, frame.pivot])
    shift = np.array([0, 0, frame.pivot * (1 + FRONT_SHARE)])
    # From the front the picture's own frame fits as it is, so what is fitted comes in by degrees.
    aside = min(1.0, max(abs(yaw_deg) / ORBIT_YAW_DEG, abs(pitch_deg) / ORBIT_YAW_DEG))
    if frame.sample is not None and aside > 0:
        shift += aside * (_fitted(rotation @ (frame.sample - pivot).T, shift, tangents) - shift)
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = shift - rotation @ pivot
    return pose


def swing(frame: Frame, tangents: tuple[float, float], count: int) -> Iterator[Pose]:
    """Yield ``count`` views of an orbit that swings once to either side and ends where it began."""
    for number in range(count):
        phase = 2 * math.pi * number / count
        yaw_deg, pitch_deg = ORBIT_YAW_DEG * math.sin(phase), ORBIT_PITCH_DEG * (1 - math.cos(phase)) / 2
        yield orbited(frame, tangents, yaw_deg=yaw_deg, pitch_deg=pitch_deg)


def _fitted(points: NDArray[np.float64], shift: Pose, tangents: tuple[float, float]) -> NDArray[np.float64]:
    """Return by how much (3, N) turned points must be shifted to fill the view; begins with ``shift``."""
    shift = shift.copy()
    front, nearest = shift[2], _NEAREST_SHARE * shift[2]
    for _ in range(_FIT_ROUNDS):
        depth = np.maximum(points[2] + shift[2], nearest)
        seen = (points[:2] + shift[:2, None]) / depth
        low, high = np.percentile(seen, (_FITTED_SHARE, 100 - _FITTED_SHARE), axis=1)
        shift[:2] -= (low + high) / 2 * shift[2]
        excess = float(np.max((high - low) / 2 / tangents))
        shift[2] = min(max(front, shift[2] * excess**0.7), front * _FARTHEST_SHARE)
    return shift
