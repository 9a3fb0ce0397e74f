"""The scale and shift that bring one depth map to another, whatever a part of the pixels does."""

from typing import NamedTuple

from .planes import Plane, PlaneOps

ROUNDS = 6
"""Reweighting converges in about this many rounds."""
LEAST_SUPPORT = 0.02
"""Below this share of trusted samples nothing is said about scale and shift."""


class Fit(NamedTuple):
    """``reference ~ scale * (raw - raw_centre) + reference_centre``: about centres, scale and shift are independent."""

    scale: Plane
    """Factor on the raw map; 1 where nothing can be said."""
    raw_centre: Plane
    """Weighted mean of the raw map."""
    reference_centre: Plane
    """Weighted mean of the reference; equals ``raw_centre`` where nothing can be said."""
    residual: Plane
    """Median distance that remains."""


def fit_scale_shift(ops: PlaneOps, raw: Plane, reference: Plane, weight: Plane) -> Fit:
    """Fit by the symmetric slope (reduced major axis) under Cauchy weights.

    The least-squares slope is biased low by noise in ``raw``, and a recursion would multiply that bias in every frame.

    Args:
        ops: The library the samples belong to.
        raw: (n,) samples of the new map.
        reference: (n,) samples of the map to match.
        weight: (n,) trust in each pair, 0..1.
    """
    xp = ops.xp
    supported = weight.sum() > LEAST_SUPPORT * raw.shape[0]
    trust = weight
    for _ in range(ROUNDS):
        # Sums of products, not dot products: numpy hands those to threads that wait for each other on a busy machine.
        total = trust.sum() + 1e-12
        raw_centre, reference_centre = (trust * raw).sum() / total, (trust * reference).sum() / total
        dx, dy = raw - raw_centre, reference - reference_centre
        spread_x, spread_y = (trust * dx * dx).sum() + 1e-30, (trust * dy * dy).sum() + 1e-30
        scale = xp.clip(xp.sqrt(spread_y / spread_x), 0.25, 4.0)
        distance = xp.abs(dy - scale * dx)
        sigma = 1.48 * ops.ranks(distance[::4], (0.5,))[0] + 1e-12
        trust = weight / (1 + xp.square(distance / sigma))
    one = xp.ones_like(scale)
    return Fit(
        xp.where(supported, scale, one),
        raw_centre,
        xp.where(supported, reference_centre, raw_centre),
        xp.where(supported, ops.ranks(distance, (0.5,))[0], 0 * one),
    )


def median_distance(ops: PlaneOps, raw: Plane, reference: Plane) -> Fit:
    """Return the fit that changes nothing, with the distance there is."""
    distance = ops.ranks(ops.xp.abs(raw - reference), (0.5,))[0]
    return Fit(ops.xp.ones_like(distance), 0 * distance, 0 * distance, distance)
