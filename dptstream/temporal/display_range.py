"""The range that a display maps to its colours, calm in time: quick to widen, slow to narrow, begun anew at cuts."""

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


def step_range(
    depth: NDArray[np.float32], pts_seconds: float, state: RangeState | None, *, fresh: bool = False
) -> RangeState:
    """Return the range for the next frame: 2 % to 98 % of the values, calmed in time.

    The depth itself is never clipped to it.

    Args:
        depth: (h, w); what is not finite does not count.
        pts_seconds: Time of the frame.
        state: What came with the frame before; None at the start.
        fresh: Whether a new shot begins with this frame.
    """
    values = depth[::4, ::4]
    values = values[np.isfinite(values)]
    if values.size == 0:
        return state or RangeState(0.0, 1.0, pts_seconds)
    low, high = (float(value) for value in np.percentile(values, (2, 98)))
    if high <= low:
        high = low + max(abs(low) * 1e-3, 1e-6)
    if state is None or fresh:
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
