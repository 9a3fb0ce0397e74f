"""Colours of points: the picture brought to the map's size, or depth painted. Opens no file."""

import numpy as np
from numpy.typing import NDArray

from ..geometry import Intrinsics
from .settings import ColorScheme

_LEVELS = 1024
_SAMPLES = 65_536
"""Pixels that a histogram is made of at most; it is smooth long before."""


def picked(picture: NDArray[np.uint8], camera: Intrinsics, full: Intrinsics) -> NDArray[np.uint8]:
    """Return the colour under the middle of each pixel of a smaller map: (H, W, 3).

    Args:
        picture: (H, W, 3) of any size.
        camera: That of the map.
        full: That of the picture, for any size.
    """
    rows_columns = (camera.height, camera.width)
    if picture.shape[:2] == rows_columns == (full.height, full.width) and camera.cx == full.cx:
        return picture
    full = full.scaled_to(picture.shape[1], picture.shape[0])
    rows = (np.arange(camera.height) + 0.5 - camera.cy) * (full.fy / camera.fy) + full.cy
    columns = (np.arange(camera.width) + 0.5 - camera.cx) * (full.fx / camera.fx) + full.cx
    row_index = np.clip(rows.astype(np.intp), 0, picture.shape[0] - 1)
    column_index = np.clip(columns.astype(np.intp), 0, picture.shape[1] - 1)
    return np.asarray(picture[row_index[:, None], column_index], np.uint8)


def by_depth(
    distance_hw: NDArray[np.float32], limits: tuple[float, float] | None, scheme: ColorScheme
) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB of distances; black where there is none (0).

    Args:
        distance_hw: Distances, 0 where there is none.
        limits: Distances of the first and last colour; None gives each colour the same number of pixels.
        scheme: The colours.
    """
    near, far = limits or _span(distance_hw)
    shades = palette(scheme)
    if limits is None:
        # Ranks are looked up by inverse depth, so that the near, where most is to be told apart, gets most steps.
        codes = _codes(_inverse(distance_hw), 1 / far, 1 / near)
        shades = shades[_equalizing(codes[distance_hw > 0])]
    else:
        codes = _codes(distance_hw, near, far)
    colors = np.take(shades, codes, axis=0)
    colors[distance_hw <= 0] = 0
    return colors


def palette(scheme: ColorScheme) -> NDArray[np.uint8]:
    """Return (1024, 3) RGB, from near to far."""
    share = np.linspace(0, 1, _LEVELS)
    if scheme == "jet":
        # Three trapezoids, a quarter of the range apart: blue, cyan, yellow, red, and darker at both ends.
        channels = [np.clip(1.5 - np.abs(4 * share - peak), 0, 1) for peak in (3, 2, 1)]
    else:
        channels = [1 - share if scheme == "white_to_black" else share] * 3
    return np.rint(np.stack(channels, axis=1) * 255).astype(np.uint8)


def _span(distance_hw: NDArray[np.float32]) -> tuple[float, float]:
    valid = distance_hw[distance_hw > 0]
    return (float(valid.min()), float(valid.max())) if valid.size else (1.0, 2.0)


def _inverse(distance_hw: NDArray[np.float32]) -> NDArray[np.float32]:
    inverse = np.zeros_like(distance_hw)
    np.divide(np.float32(1), distance_hw, out=inverse, where=distance_hw > 0)
    return inverse


def _codes(values: NDArray[np.float32], first: float, last: float) -> NDArray[np.int16]:
    """Return 0 for ``first`` to 1023 for ``last``, and those for what lies beyond."""
    codes = values - np.float32(first)
    codes *= np.float32((_LEVELS - 1) / ((last - first) or 1.0))
    return np.clip(codes, 0, _LEVELS - 1, out=codes).astype(np.int16)


def _equalizing(codes: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return for each code of inverse depth the one that spreads them evenly, from near to far."""
    sample = codes[:: max(1, codes.size // _SAMPLES)]
    counts = np.bincount(sample, minlength=_LEVELS)
    ranks = (np.cumsum(counts) - counts / 2) / max(1, sample.size)
    return np.asarray((1 - ranks) * (_LEVELS - 1), np.int16)
