"""A flat wall gliding by: pictures at the cost of a view, with exact depth and motion."""

import numpy as np
from numpy.typing import NDArray

from ..geometry import Intrinsics
from .synthetic_texture import TEXTURE_SIDE, make_texture
from .synthetic_truth import SyntheticTruth

_DISTANCE_M = 2.0
_TRAVEL_PX = (240, 136)  # how far the window wanders over the wall before it turns back
_SPEED_PX = (3, 1)


class WallScene:
    """The camera slides along a wall by whole pixels; each picture is a view of one canvas."""

    def __init__(self, camera: Intrinsics, random: np.random.Generator) -> None:
        self._camera = camera
        texture = make_texture(random)
        rows = np.arange(camera.height + _TRAVEL_PX[1]) % TEXTURE_SIDE
        columns = np.arange(camera.width + _TRAVEL_PX[0]) % TEXTURE_SIDE
        self._canvas = texture[rows[:, None], columns[None, :]]
        self._canvas.setflags(write=False)

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Return a read-only view of the canvas."""
        x, y = _corner(number)
        return self._canvas[y : y + self._camera.height, x : x + self._camera.width]

    def truth(self, number: int, previous: int | None) -> SyntheticTruth:
        """Return the wall's even depth and motion."""
        height, width = self._camera.height, self._camera.width
        x, y = _corner(number)
        before_x, before_y = (x, y) if previous is None else _corner(previous)
        flow = np.empty((height, width, 2), np.float32)
        flow[...] = (x - before_x, y - before_y)
        seen_x = (np.arange(width) + x >= before_x) & (np.arange(width) + x < before_x + width)
        seen_y = (np.arange(height) + y >= before_y) & (np.arange(height) + y < before_y + height)
        occluded = ~(seen_y[:, None] & seen_x[None, :]) | (previous is None)
        depth = np.full((height, width), _DISTANCE_M, np.float32)
        pose = np.eye(4)
        pose[:2, 3] = x * _DISTANCE_M / self._camera.fx, y * _DISTANCE_M / self._camera.fy
        return SyntheticTruth(depth, flow, occluded, depth, np.zeros((height, width), bool), pose, previous is None)


def _corner(number: int) -> tuple[int, int]:
    x, y = (_back_and_forth(number * speed, travel) for speed, travel in zip(_SPEED_PX, _TRAVEL_PX, strict=True))
    return x, y


def _back_and_forth(way: int, travel: int) -> int:
    return travel - abs(way % (2 * travel) - travel)
