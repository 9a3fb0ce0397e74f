"""One step of the causal filter, on whichever planes it is given. Knows no frame, no file and no clock."""

from dataclasses import dataclass, replace

from .align import Fit, fit_scale_shift, median_distance
from .config import TemporalConfig
from .gauge import GaugeStep, Pace, advance_gauge, initial_gauge, pace_of
from .motion import Grey
from .planes import SUBPIXELS, Plane, PlaneOps
from .state import FilterState

SAMPLE_EVERY = 4
"""Scale and shift are fitted on every fourth pixel of every fourth row."""
BEND_CELL = 8
"""Slow bumps are found on a grid of this many pixels a cell."""
OUTLIER_WEIGHT = 0.07
"""Greatest weight of a distrusted frame where there is a history."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What comes with a depth map: when it is, and how the picture moved."""

    pts_seconds: float
    """Presentation time."""
    flow: Plane
    """(2, hs, ws) x and y in pixels of the small picture, to the frame before."""
    confidence: Plane
    """(hs, ws) 0..1: agreement of the picture with the one before."""
    thumbnail: Grey | None = None
    """Kept in the state where motion is found from it."""


def first_state(ops: PlaneOps, work: Plane, moment_pts: float, thumbnail: Grey | None) -> FilterState:
    """Return the state after the first frame of a shot."""
    xp = ops.xp
    good = xp.isfinite(work)
    depth = xp.where(good, work, xp.zeros_like(work))
    count = xp.where(good, xp.ones_like(work), xp.zeros_like(work))
    return FilterState(depth, count, initial_gauge(ops, work), thumbnail, moment_pts, age=1)


def smooth(
    ops: PlaneOps,
    work: Plane,
    moment: Moment,
    state: FilterState,
    config: TemporalConfig,
    *,
    align: bool,
    pace: Pace | None = None,
) -> tuple[FilterState, GaugeStep]:
    """Return the state after a further frame of the shot, and how its scale was placed.

    Args:
        ops: The library of planes.
        work: (h, w) new map; may hold NaN and infinity, which are left out.
        moment: Its time and motion.
        state: From the frame before, of the same size.
        config: The filter's.
        align: Whether scale and shift may be changed.
        pace: What follows from the frame's time and the shot's age; None works it out from ``moment`` and ``state``.
    """
    pace = pace or _pace(config, moment, state)
    good = ops.xp.isfinite(work)
    history, count, confidence = _carry(ops, moment, state)
    known = ops.xp.where(good, work, history)
    fit, value_range = _compare(ops, known, history, confidence * good * (count > 0), align=align)
    step, gauge = advance_gauge(ops, fit, value_range, state.gauge, pace)
    pair = _paired(known, history, confidence * count, good, step, value_range)
    depth, count = _merge(ops, pair, config, pace, bend=config.bend and align)
    return FilterState(depth, count, gauge, moment.thumbnail, moment.pts_seconds, state.age + 1), step


def follow(
    ops: PlaneOps,
    work: Plane,
    moment: Moment,
    state: FilterState,
    config: TemporalConfig,
    step: GaugeStep,
    *,
    bend: bool,
) -> FilterState:
    """Return the state after a further frame whose scale was settled beforehand, forwards or backwards in time."""
    good = ops.xp.isfinite(work)
    history, count, confidence = _carry(ops, moment, state)
    known = ops.xp.where(good, work, history)
    value_range = _range_of(ops, _samples(known))
    pair = _paired(known, history, confidence * count, good, step, value_range)
    depth, count = _merge(ops, pair, config, _pace(config, moment, state), bend=config.bend and bend)
    return FilterState(depth, count, state.gauge, moment.thumbnail, moment.pts_seconds, state.age + 1)


def _pace(config: TemporalConfig, moment: Moment, state: FilterState) -> Pace:
    return pace_of(config, moment.pts_seconds - state.pts_seconds, state.age)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A frame and its history, on a common scale."""

    current: Plane
    """(h, w) the new map; the history where the new one holds no number."""
    history: Plane
    """(h, w) the smoothed map before, carried here."""
    trust: Plane
    """(h, w) how many frames the history stands for, as far as the picture bears it out."""
    good: Plane
    """(h, w) where the new map holds numbers."""
    outlier: Plane
    """0-d: 1 for a distrusted frame, else 0."""
    value_range: Plane
    """0-d: range of the new map."""


def _carry(ops: PlaneOps, moment: Moment, state: FilterState) -> tuple[Plane, Plane, Plane]:
    """Bring the history to where its surfaces are now: (depth, count, confidence in the picture's match)."""
    height, width = state.depth.shape
    small_height, small_width = moment.confidence.shape
    x, y = ops.coordinates(state.depth)
    flow_x = ops.resize(moment.flow[0], (height, width)) * (SUBPIXELS * width / small_width)
    flow_y = ops.resize(moment.flow[1], (height, width)) * (SUBPIXELS * height / small_height)
    x, y = x + ops.xp.round(flow_x) / SUBPIXELS, y + ops.xp.round(flow_y) / SUBPIXELS
    depth = ops.carry(state.depth, x, y, outside_zero=False)
    # Outside the picture there was nothing: the count falls to zero there, and with it all trust.
    count = ops.carry(state.count, x, y, outside_zero=True)
    return depth, count, ops.resize(moment.confidence, (height, width))


def _paired(known: Plane, history: Plane, trust: Plane, good: Plane, step: GaugeStep, value_range: Plane) -> _Pair:
    """Bring the frame and its history to the common scale that ``step`` names."""
    current = known * step.raw_scale + step.raw_shift
    history = history * step.history_scale + step.history_shift
    return _Pair(current, history, trust, good, step.outlier, value_range)


def _compare(ops: PlaneOps, known: Plane, history: Plane, weight: Plane, *, align: bool) -> tuple[Fit, Plane]:
    """Return how the frame compares with the history, and the frame's range."""
    raw, reference, trust = (_samples(plane) for plane in (known, history, weight))
    fit = fit_scale_shift(ops, raw, reference, trust) if align else median_distance(ops, raw, reference)
    return fit, _range_of(ops, raw)


def _samples(plane: Plane) -> Plane:
    first = SAMPLE_EVERY // 2 if min(plane.shape) > SAMPLE_EVERY // 2 else 0
    return plane[first::SAMPLE_EVERY, first::SAMPLE_EVERY].reshape(-1)


def _range_of(ops: PlaneOps, samples: Plane) -> Plane:
    low, high = ops.ranks(samples, (0.02, 0.98))
    # A flat map has no range: the tiny share of its value keeps divisions finite.
    return high - low + 1e-6 * ops.xp.abs(high) + 1e-12


def _merge(ops: PlaneOps, pair: _Pair, config: TemporalConfig, pace: Pace, *, bend: bool) -> tuple[Plane, Plane]:
    """Return the smoothed map and how many frames each of its pixels stands for."""
    if bend:
        pair = _straighten(ops, pair, pace)
    if config.average:
        return _average(ops, pair, config, pace)
    ones = ops.xp.ones_like(pair.trust)
    return pair.current, ops.xp.where(pair.good, ones, ops.xp.clip(pair.trust, 0, 1))


def _straighten(ops: PlaneOps, pair: _Pair, pace: Pace) -> _Pair:
    """Move the frame and the history towards each other by their smooth difference, as the gauge does for the whole."""
    xp = ops.xp
    difference = pair.history - pair.current
    weight = xp.clip(pair.trust, 0, 1) * xp.exp(-xp.square(difference / (0.15 * pair.value_range)))
    cells = [
        ops.box(plane, BEND_CELL + 1)[BEND_CELL // 2 :: BEND_CELL, BEND_CELL // 2 :: BEND_CELL]
        for plane in (weight, weight * difference)
    ]
    if min(cells[0].shape) < 2:
        return pair
    for _ in range(3):  # three boxes of five are close to a Gaussian of 2.4 cells
        cells = [ops.box(cell, 5) for cell in cells]
    field = ops.resize(cells[1] / (cells[0] + 0.01), tuple(difference.shape))
    leak = pace.bend_leak * (1 - pair.outlier)
    return replace(pair, current=pair.current + (1 - leak) * field, history=pair.history - leak * field)


def _average(ops: PlaneOps, pair: _Pair, config: TemporalConfig, pace: Pace) -> tuple[Plane, Plane]:
    """Average the frame into the history: a running mean that forgets, and starts anew where trust is lost."""
    xp = ops.xp
    current, history, trust = pair.current, pair.history, pair.trust
    # Against a distrusted frame the depth's own evidence does not count; where the picture changed, it does.
    held = (pair.outlier > 0) & (trust > 0.3)
    averaged, past = history, trust
    if config.confidence:
        difference = (history - current) / (config.consistency * pair.value_range)
        # The neighbourhood tells small disagreements from noise; the pixel itself tells an outline uncovered.
        past = trust * xp.exp(-xp.square(ops.box(difference, 5)) - xp.square(difference / 2))
    if config.clamp:
        least, greatest = ops.local_range(current)
        tolerance = config.clamp_tolerance * pair.value_range
        averaged = xp.clip(history, least - tolerance, greatest + tolerance)
    count = ops.held(past + pair.good, pace.longest)
    averaged = averaged + (current - averaged) / xp.clip(count, 1, None)
    distrustful = history + (current - history) * OUTLIER_WEIGHT
    return xp.where(held, distrustful, averaged), xp.where(held, ops.held(trust, pace.longest), count)
