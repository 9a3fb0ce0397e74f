"""Where depth jumps: steps that no slope explains, and what hangs in mid-air within them. In numpy alone."""

import numpy as np
from numpy.typing import NDArray

_BLUR_SHARE = 1 / 160
"""How far networks blur jumps, as a share of the picture's width."""
_SLOPES_ACROSS = 40
"""Half of what a slope must last is this part of the picture's width: more than networks blur a jump."""

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


def jumps(distance_hw: Map, tolerance: float) -> tuple[Mask, Mask]:
    """Return where depth jumps: (H, W - 1) to the right neighbour, and (H - 1, W) to the one below.

    A jump is a step to a pixel without a value, or one larger than ``tolerance`` times the nearer distance that no slope
    leads to: a floor or wall seen at a grazing angle rises in large steps, but evenly.
    """
    reach = distance_hw * np.float32(1 + tolerance)
    across = (distance_hw[:, 1:] > reach[:, :-1]) | (distance_hw[:, :-1] > reach[:, 1:])
    down = (distance_hw[1:] > reach[:-1]) | (distance_hw[:-1] > reach[1:])
    _forgive_slopes(across, distance_hw, 1, tolerance)
    _forgive_slopes(down, distance_hw, 0, tolerance)
    return across, down


def slope_length(width: int) -> int:
    """Return half the pixels that a slope must last, in a map so wide."""
    return max(1, (width + _SLOPES_ACROSS // 2) // _SLOPES_ACROSS)


def _forgive_slopes(steps: Mask, distance_hw: Map, axis: int, tolerance: float) -> None:
    """Clear those of the steps to the next pixel along ``axis`` that a slope before or behind them foretells.

    Inverse depth is a linear function of the pixel on every plane, so a slope foretells a plane's next step exactly. It
    must last over two lengths: a jump that a network has blurred rises over one at most, and the smaller rise counts.
    """
    length, width, count = slope_length(distance_hw.shape[1]), distance_hw.shape[1], distance_hw.shape[axis]
    found = np.flatnonzero(steps)
    line, place = divmod(found, steps.shape[1])
    at, ahead = line * width + place, (width, 1)[axis]
    place = (line, place)[axis]
    flat = distance_hw.reshape(-1)
    here, there = _inverse(flat[at]), _inverse(flat[at + ahead])
    step = there - here
    foretold = np.zeros_like(step)
    for way, inner, origin in ((-1, here, at), (1, there, at + ahead)):
        room = place >= 2 * length if way < 0 else place + 1 + 2 * length < count
        middle, end = (
            _inverse(flat[np.where(room, origin + way * far * ahead, origin)]) for far in (length, 2 * length)
        )
        upward = np.sign(step) * np.float32(way / length)
        np.fmax(foretold, np.minimum((middle - inner) * upward, (end - middle) * upward), out=foretold)
    within = np.abs(step) - foretold <= np.float32(tolerance) * np.minimum(here, there)
    steps.reshape(-1)[found] = ~within


def _inverse(distance: Map) -> Map:
    """Return 1 over it, NaN where there is none."""
    return np.reciprocal(np.where(distance > 0, distance, np.float32(np.nan)))


def edge_masks(distance_hw: Map, tolerance: float | None) -> tuple[Mask, Mask]:
    """Return (H, W) which points are shown, and (H - 1, W - 1) between which four neighbours there is a surface.

    Args:
        distance_hw: (H, W) distances, 0 where there is none.
        tolerance: As in ``jumps``; None cuts no jump.
    """
    keep = distance_hw > 0
    solid = all_corners(keep)
    if tolerance is not None and min(distance_hw.shape) > 1:
        across, down = jumps(distance_hw, tolerance)
        beside = np.zeros_like(keep)
        beside[:, 1:] = across
        beside[:, :-1] |= across
        beside[1:] |= down
        beside[:-1] |= down
        keep &= ~beside
        solid &= ~(across[1:] | across[:-1] | down[:, 1:] | down[:, :-1])
    return keep, solid


def all_corners(keep: Mask) -> Mask:
    """Return (H - 1, W - 1) where all four neighbours of (H, W) hold."""
    return np.asarray(keep[1:, 1:] & keep[1:, :-1] & keep[:-1, 1:] & keep[:-1, :-1])


def sharpened(distance_hw: Map, tolerance: float) -> Map:
    """Return the map with pixels that hang within a jump moved to its nearer or farther side; 0 stays 0.

    Networks blur jumps over several pixels, which then fly in mid-air or stretch surfaces. Where the distances around a
    pixel span more than a slope may, and it lies on neither end, it goes to the end that is closer in inverse depth.

    Args:
        distance_hw: (H, W) distances, 0 where there is none.
        tolerance: Step from pixel to pixel that is no jump, as in ``jumps``.
    """
    reach = max(1, round(_BLUR_SHARE * distance_hw.shape[1]))
    near = _extreme(np.where(distance_hw > 0, distance_hw, np.float32(np.inf)), np.minimum, reach)
    far = _extreme(distance_hw, np.maximum, reach)
    within = np.float32(1 + tolerance)
    floating = far > near * np.float32(1 + tolerance * (2 * reach + 1))
    floating &= (distance_hw > near * within) & (distance_hw * within < far)
    found, front, back = distance_hw[floating], near[floating], far[floating]
    out = distance_hw.copy()
    out[floating] = np.where(found * (front + back) < 2 * front * back, front, back)
    return out


def _extreme(values: Map, pick: np.ufunc, reach: int) -> Map:
    """Return the smallest or largest value up to ``reach`` pixels away along both axes."""
    for axis in (0, 1):
        left = min(reach, values.shape[axis] - 1)
        done = 0
        while left > 0:  # steps that grow cover a wide reach in few passes
            step = min(left, 2 * done + 1)
            lines = np.moveaxis(values, axis, 0)
            spread = lines.copy()
            pick(spread[step:], lines[:-step], out=spread[step:])
            pick(spread[:-step], lines[step:], out=spread[:-step])
            values, left, done = np.moveaxis(spread, 0, axis), left - step, done + step
    return values
