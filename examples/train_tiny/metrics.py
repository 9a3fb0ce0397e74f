"""How good a map of inverse depth is: measured after the best scale and shift. Knows numpy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatMap = NDArray[np.floating]
BoolMap = NDArray[np.bool_]
_SMALLEST = 1e-3
_EDGE_RATIO = 1.15
"""Depths that differ by more than this between neighbours are an edge."""
_FEWEST_EDGE_PIXELS = 20
"""With fewer, a picture says nothing about edges."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors of one picture over one set of pixels."""

    abs_rel: float
    """Mean of |aligned - true| / true depth."""
    delta1: float
    """Share of pixels whose depth is within 25 % of the truth."""


def align(inverse_depth: FloatMap, depth: FloatMap, valid: BoolMap) -> FloatMap:
    """Return aligned inverse depth: least squares of scale and shift against 1 / depth over ``valid``.

    This is the protocol of Video Depth Anything and DepthCrafter, with one scale and shift a picture.
    """
    predicted = np.maximum(inverse_depth[valid].astype(np.float64), _SMALLEST)
    true = 1.0 / depth[valid].astype(np.float64)
    design = np.stack([predicted, np.ones_like(predicted)], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, true, rcond=None)
    return scale * np.maximum(inverse_depth, _SMALLEST) + shift


def score(aligned: FloatMap, depth: FloatMap, valid: BoolMap, farthest: float) -> Scores:
    """Return the errors of aligned inverse depth over ``valid``; depths are clipped to ``farthest``."""
    estimated = np.minimum(1.0 / np.maximum(aligned[valid], _SMALLEST), farthest)
    true = depth[valid]
    ratio = np.maximum(estimated / true, true / estimated)
    return Scores(float((np.abs(estimated - true) / true).mean()), float((ratio < 1.25).mean()))


def ordered_share(
    inverse_depth: FloatMap, depth: FloatMap, valid: BoolMap, rng: np.random.Generator, count: int = 2000
) -> float:
    """Return the share of random pairs of pixels, at least 10 % apart in depth, whose order is right."""
    flat = np.flatnonzero(valid)
    first, second = rng.choice(flat, count), rng.choice(flat, count)
    true_first, true_second = depth.ravel()[first], depth.ravel()[second]
    apart = np.maximum(true_first / true_second, true_second / true_first) > 1.1
    nearer = true_first < true_second
    said = inverse_depth.ravel()[first] > inverse_depth.ravel()[second]
    return float((nearer == said)[apart].mean()) if apart.any() else float("nan")


def depth_edges(depth: FloatMap, ratio: float = _EDGE_RATIO) -> BoolMap:
    """Return where depth jumps between a pixel and its right or lower neighbour, not where it merely slopes.

    A jump is a step by more than ``ratio`` that is also three times the step beside it on either side.
    """
    log_depth = np.log(np.clip(depth, 1e-3, 1e4))
    edges = np.zeros(depth.shape, dtype=bool)
    for axis in (0, 1):
        step = np.abs(np.diff(log_depth, axis=axis))
        before = np.roll(step, 2, axis=axis)
        after = np.roll(step, -2, axis=axis)
        jump = (step > np.log(ratio)) & (step > 3.0 * np.minimum(before, after))
        if axis == 0:
            edges[:-1] |= jump
        else:
            edges[:, :-1] |= jump
    return edges


def strongest_slopes(values: FloatMap, share: float) -> BoolMap:
    """Return the ``share`` of pixels where values change most, and more than at neighbours along the change."""
    down, across = np.gradient(values.astype(np.float64))
    size = np.hypot(down, across)
    ridge = np.zeros(size.shape, dtype=bool)
    sideways = np.abs(across) >= np.abs(down)
    ridge |= sideways & (size >= np.roll(size, 1, axis=1)) & (size >= np.roll(size, -1, axis=1))
    ridge |= ~sideways & (size >= np.roll(size, 1, axis=0)) & (size >= np.roll(size, -1, axis=0))
    ridge[[0, -1]] = False  # the slope at the border is a guess
    ridge[:, [0, -1]] = False
    wanted = max(1, round(share * size.size))
    candidates = np.sort(size[ridge])
    threshold = candidates[-wanted] if len(candidates) >= wanted else 0.0
    return ridge & (size >= threshold) & (size > 0)


def distances_to(edges: BoolMap) -> FloatMap:
    """Return the distance of every pixel to the nearest edge, in pixels (chessboard, at most 32)."""
    distance = np.full(edges.shape, 32.0)
    reached = edges.copy()
    distance[reached] = 0.0
    for step in range(1, 32):
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= grown[:, :-1].copy()
        grown[:, :-1] |= grown[:, 1:].copy()
        distance[grown & ~reached] = step
        reached = grown
    return distance


def edge_distance(aligned: FloatMap, depth: FloatMap, farthest: float) -> tuple[float, float]:
    """Return how well edges are placed: median distance and share within 3 px, from predicted depth steps to true ones.

    As many of the steepest ridges of the predicted log depth are taken as there are true edge pixels. What lies beyond
    ``farthest`` counts as lying there. NaN where hardly any edge is.

    Args:
        aligned: Aligned inverse depth, 1/m.
        depth: True depth, m; may be infinite.
        farthest: m.
    """
    true = depth_edges(np.minimum(depth, farthest))
    if true.sum() < _FEWEST_EDGE_PIXELS:
        return float("nan"), float("nan")
    log_inverse = np.log(np.maximum(aligned, 1.0 / farthest))
    distance = distances_to(true)[strongest_slopes(log_inverse, float(true.mean()))]
    return float(np.median(distance)), float((distance <= 3.0).mean())


def vertical_ramp(depth: FloatMap) -> FloatMap:
    """Return inverse depth that grows linearly from the top row to the bottom one; aligned, it is the best such ramp."""
    height, width = depth.shape
    return np.linspace(0.0, 1.0, height)[:, None] * np.ones((1, width))
