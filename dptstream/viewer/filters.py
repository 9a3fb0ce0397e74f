"""RealSense's filters on maps of distances, in numpy alone. Settings and defaults are in ``settings.py``."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..geometry import Intrinsics
from .settings import Decimation, Filters, HoleFilling, Spatial, Temporal

Map = NDArray[np.float32]

_PERSISTENCY = {1: (8, 8), 2: (2, 3), 3: (2, 4), 4: (2, 8), 5: (1, 2), 6: (1, 5), 7: (1, 8), 8: (0, 8)}
"""In how many of how many last frames a pixel must have had a value to keep it without one."""
_MEDIAN_UP_TO = 3
_MOST_FILLING_PASSES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the temporal filter knows of the frames before."""

    inverse: Map
    """(H, W) inverse distances as they were shown last, 0 where there was none."""
    history: NDArray[np.uint8]
    """(H, W) one bit for each of the last 8 frames, the newest lowest: whether the pixel had a value."""


class FilterChain:
    """Applies the filters that are switched on to one frame after the other."""

    def __init__(self) -> None:
        self._before: Memory | None = None
        self._after: Memory | None = None

    def reset(self) -> None:
        """Forget all frames: what comes next has nothing to do with them."""
        self._before = self._after = None

    def apply(
        self, distance_hw: Map, camera: Intrinsics, filters: Filters, *, again: bool = False
    ) -> tuple[Map, Intrinsics]:
        """Return the filtered map, 0 where it has no value, and its camera.

        Args:
            distance_hw: (H, W) distances, 0 where there is none; not written to.
            camera: Its camera, of its size.
            filters: What to apply.
            again: It is the same frame as before, to be shown with other settings: time stands still.
        """
        if filters.decimation.enabled:
            distance_hw, camera = decimated(distance_hw, camera, filters.decimation)
        if filters.spatial.enabled or filters.temporal.enabled:
            inverse = np.zeros_like(distance_hw)
            np.divide(np.float32(1), distance_hw, out=inverse, where=distance_hw > 0)
            if filters.spatial.enabled:
                smooth_in_space(inverse, filters.spatial)
            if filters.temporal.enabled:
                inverse = self._over_time(inverse, filters.temporal, again=again)
            distance_hw = np.zeros_like(inverse)
            np.divide(np.float32(1), inverse, out=distance_hw, where=inverse > 0)
        if not filters.temporal.enabled:
            self.reset()
        if filters.hole_filling.enabled:
            distance_hw = filled(distance_hw, filters.hole_filling)
        if filters.threshold.enabled:
            within = (distance_hw >= filters.threshold.minimum) & (distance_hw <= filters.threshold.maximum)
            distance_hw = np.where(within, distance_hw, np.float32(0))
        return distance_hw, camera

    def _over_time(self, inverse: Map, settings: Temporal, *, again: bool) -> Map:
        if not again:
            self._before = self._after
        if self._before is not None and self._before.inverse.shape != inverse.shape:
            self._before = None
        self._after = steadied(inverse, self._before, settings)
        return self._after.inverse


def decimated(distance_hw: Map, camera: Intrinsics, settings: Decimation) -> tuple[Map, Intrinsics]:
    """Return the median or mean of the values of each block, and the camera; rows and columns left over are cut off."""
    side = min(settings.magnitude, *distance_hw.shape)
    height, width = (size // side for size in distance_hw.shape)
    blocks = distance_hw[: height * side, : width * side].reshape(height, side, width, side)
    values = np.moveaxis(blocks, 2, 1).reshape(height, width, side * side)
    counts = np.count_nonzero(values > 0, axis=2)
    if side <= _MEDIAN_UP_TO:
        ordered = np.sort(np.where(values > 0, values, np.float32(np.inf)), axis=2)
        middle = np.take_along_axis(ordered, np.maximum(counts - 1, 0)[..., None] // 2, axis=2)[..., 0]
        small = np.where(counts > 0, middle, np.float32(0))
    else:
        small = values.sum(axis=2) / np.maximum(counts, 1)
    whole = replace(camera, width=width * side, height=height * side)
    return np.asarray(small, np.float32), whole.scaled_to(width, height)


def smooth_in_space(inverse_hw: Map, settings: Spatial) -> None:
    """Smooth along rows, then columns, there and back, in place; 0 is no value."""
    step = _step(inverse_hw, settings.delta)
    for _ in range(settings.iterations):
        for lines in (inverse_hw.T, inverse_hw):
            for line in (lines, lines[::-1]):
                _smooth_along(line, settings.alpha, step)


def _smooth_along(lines: Map, alpha: float, step: float) -> None:
    """Run down the first axis; each line takes from the one before where they lie within ``step``."""
    last = lines[0]
    for line in lines[1:]:
        near = (np.abs(line - last) < step) & (line > 0) & (last > 0)
        line[near] += np.float32(1 - alpha) * (last[near] - line[near])
        last = line


def steadied(inverse_hw: Map, before: Memory | None, settings: Temporal) -> Memory:
    """Return what is shown of this frame, and is to be remembered."""
    valid = inverse_hw > 0
    if before is None:
        return Memory(inverse_hw, valid.astype(np.uint8))
    step = _step(inverse_hw, settings.delta)
    close = valid & (before.inverse > 0) & (np.abs(inverse_hw - before.inverse) < step)
    shown = np.where(close, before.inverse + np.float32(settings.alpha) * (inverse_hw - before.inverse), inverse_hw)
    if settings.persistency:
        wanted, window = _PERSISTENCY[settings.persistency]
        seen = np.unpackbits(before.history[..., None], axis=2)[..., 8 - window :].sum(axis=2)
        shown = np.where(~valid & (seen >= wanted), before.inverse, shown)
    history = (before.history << np.uint8(1)) | valid
    return Memory(shown.astype(np.float32), history.astype(np.uint8))


def filled(distance_hw: Map, settings: HoleFilling) -> Map:
    """Return the map with its holes filled from their edges inward."""
    if settings.fill == "left":
        columns = np.where(distance_hw > 0, np.arange(distance_hw.shape[1]), 0)
        return np.take_along_axis(distance_hw, np.maximum.accumulate(columns, axis=1), axis=1)
    chosen = _Extreme.of(settings)
    out = np.where(distance_hw > 0, distance_hw, chosen.hole)
    for _ in range(_MOST_FILLING_PASSES):
        holes = out == chosen.hole
        if not holes.any() or holes.all():
            break
        framed = np.pad(out, 1, constant_values=chosen.hole)
        around = chosen.pick.reduce([framed[1:-1, :-2], framed[1:-1, 2:], framed[:-2, 1:-1], framed[2:, 1:-1]])
        out = np.where(holes, around, out)
    return np.where(out == chosen.hole, np.float32(0), out).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Extreme:
    """How the farthest or the nearest is found, and a hole that never is."""

    pick: np.ufunc
    hole: np.float32

    @classmethod
    def of(cls, settings: HoleFilling) -> Self:
        if settings.fill == "farthest":
            return cls(np.maximum, np.float32(0))
        return cls(np.minimum, np.float32(np.inf))


def _step(inverse_hw: Map, delta: int) -> float:
    valid = inverse_hw[inverse_hw > 0]
    return float(valid.max() - valid.min()) * delta / 1000 if valid.size else 0.0
