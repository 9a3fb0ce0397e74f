"""The range that a display maps to its colours, calm in time: quick to widen, slow to narrow."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDEN_SECONDS = 0.3
"""Time in which the range follows values that lie outside it."""
NARROW_SECONDS = 3.0
"""Time in which it follows values that no longer reach its ends."""
DEAD_ZONE = 0.05
"""Changes up to this share of the range are not followed at all."""


@dataclass(frozen=True, slots=True)
class RangeState:
    """The range of the last frame."""

    low: float
    """Least value shown apart from others."""
    high: float
    """Greatest one; above ``low``."""
    pts_seconds: float
    """Time of that frame."""


def step_range(values: NDArray[np.float32], pts_seconds: float, state: RangeState | None) -> RangeState | None:
    """Return the range at a frame: 2 % to 98 % of its values, calmed in time; None while none had any value.

    Depth itself is never clipped to it.

    Args:
        values: (n,) finite values, spread evenly over the map; a few thousand do.
        pts_seconds: Time of the frame.
        state: What came with the frame before; None at the start of a shot.
    """
    if not values.size:
        return state
    low, high = (float(value) for value in np.percentile(values, (2, 98)))
    if high <= low:
        high = low + max(abs(low) * 1e-3, 1e-6)
    if state is None:
        return RangeState(low, high, pts_seconds)
    seconds = max(pts_seconds - state.pts_seconds, 0.0)
    width = state.high - state.low
    return RangeState(
        _follow(state.low, low, seconds, width, outside=low < state.low),
        _follow(state.high, high, seconds, width, outside=high > state.high),
        pts_seconds,
    )


def _follow(held: float, wanted: float, seconds: float, width: float, *, outside: bool) -> float:
    """Move one end of the range, up to the edge of the dead zone."""
    distance = wanted - held
    beyond = abs(distance) - DEAD_ZONE * width
    if beyond <= 0:
        return held
    share = 1 - math.exp(-seconds / (WIDEN_SECONDS if outside else NARROW_SECONDS))
    return held + math.copysign(beyond * share, distance)
