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
    shades = palette(scheme)
    sample = distance_hw.reshape(-1)[:: max(1, distance_hw.size // _SAMPLES)]
    near, far = limits or _span(sample[sample > 0])
    if limits is None:
        # Ranks are looked up by inverse depth, so that the near, where most is to be told apart, gets most steps.
        one = np.float32(1)
        shades = shades[_equalizing(_codes(one / sample[sample > 0], 1 / far, 1 / near))]
        with np.errstate(divide="ignore"):
            codes = _codes(one / distance_hw, 1 / far, 1 / near)
    else:
        codes = _codes(distance_hw, near, far)
    np.copyto(codes, _LEVELS, where=distance_hw <= 0)
    packed = np.zeros((_LEVELS + 1, 4), np.uint8)  # four bytes are looked up three times as fast as three
    packed[:_LEVELS, :3] = shades
    return np.take(packed.view(np.uint32)[:, 0], codes).view(np.uint8).reshape(*distance_hw.shape, 4)[..., :3]


def palette(scheme: ColorScheme) -> NDArray[np.uint8]:
    """Return (1024, 3) RGB, from near to far."""
    share = np.linspace(0, 1, _LEVELS)
    if scheme == "jet":
        # Three trapezoids, a quarter of the range apart: blue, cyan, yellow, red, and darker at both ends.
        channels = [np.clip(1.5 - np.abs(4 * share - peak), 0, 1) for peak in (3, 2, 1)]
    else:
        channels = [1 - share if scheme == "white_to_black" else share] * 3
    return np.rint(np.stack(channels, axis=1) * 255).astype(np.uint8)


def _span(valid: NDArray[np.float32]) -> tuple[float, float]:
    return (float(valid.min()), float(valid.max())) if valid.size else (1.0, 2.0)


def _codes(values: NDArray[np.float32], first: float, last: float) -> NDArray[np.int16]:
    """Return 0 for ``first`` to 1023 for ``last``, and those for what lies beyond."""
    codes = values - np.float32(first)
    codes *= np.float32((_LEVELS - 1) / ((last - first) or 1.0))
    return np.clip(codes, 0, _LEVELS - 1, out=codes).astype(np.int16)


def _equalizing(codes: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return for each code of inverse depth the one that spreads them evenly, from near to far."""
    counts = np.bincount(codes, minlength=_LEVELS)
    ranks = (np.cumsum(counts) - counts / 2) / max(1, codes.size)
    return np.asarray((1 - ranks) * (_LEVELS - 1), np.int16)
