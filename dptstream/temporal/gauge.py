"""Which scale and shift a feed is given: steady against jitter, yet following what truly comes nearer."""

from typing import NamedTuple

from .align import Fit
from .config import REFERENCE_RATE, TemporalConfig
from .planes import Plane, PlaneOps

OUTLIER_SECONDS = 0.07
"""A frame is distrusted only if no more than this much has been distrusted just before it."""
LEAST_STEP = 0.02
"""Steps of scale or shift up to this (share) are never an outlier, however steady a feed was."""
LEAST_RESIDUAL = 0.002
"""As ``LEAST_STEP``, for the distance that remains after alignment, share of the range."""
LEARNING_FRAMES = 3
"""Outliers are told from the fourth frame of a shot on: before, nobody knows what is usual."""


class GaugeState(NamedTuple):
    """What is remembered of a feed's scale and shift. Pairs hold (log of scale, shift as share of the range)."""

    usual_step: Plane
    """(2,) how far frames usually lie from the history."""
    usual_residual: Plane
    """Distance that usually remains after alignment, share of the range."""
    distrusted_seconds: Plane
    """How long frames have been outliers without a break."""


class Pace(NamedTuple):
    """How fast one frame moves what is remembered: functions of its time and of the shot's age alone.

    Numbers, or 0-d planes where a step is recorded once and repeated with other numbers.
    """

    leak: Plane
    """Share of its distance by which the history's scale follows the network's own."""
    learning: Plane
    """Share of the newest frame in what counts as usual."""
    gate: Plane
    """1 where frames may be distrusted, else 0."""
    seconds: Plane
    """Time since the frame before."""
    bend_leak: Plane
    """As ``leak``, for slow bumps."""
    longest: Plane
    """How many frames an average stands for at most."""


def pace_of(config: TemporalConfig, seconds: float, age: int) -> Pace:
    """Return the pace of a frame that comes ``seconds`` after the one before, in a shot of ``age`` frames so far."""
    steps = min(max(abs(seconds) * REFERENCE_RATE, 0.1), REFERENCE_RATE)
    return Pace(
        # At a shot's start the best guess is the mean of the frames so far, not the first one.
        leak=max(1 - (1 - config.leak) ** steps, 1 / (age + 1)),
        learning=max(1 - 0.9**steps, 1 / (age + 1)),
        gate=float(config.gate and age > LEARNING_FRAMES),
        seconds=steps / REFERENCE_RATE,
        bend_leak=1 - (1 - config.bend_leak) ** steps,
        longest=1 / (1 - config.memory**steps),
    )


class GaugeStep(NamedTuple):
    """What to do with one frame."""

    raw_scale: Plane
    """Factor on the new depth."""
    raw_shift: Plane
    """Added to it."""
    history_scale: Plane
    """Factor on the history."""
    history_shift: Plane
    """Added to it."""
    outlier: Plane
    """Whether to distrust the frame, 0 or 1."""


def initial_gauge(ops: PlaneOps, like: Plane) -> GaugeState:
    """Return the state at the start of a shot, on the device of ``like`` (h, w)."""
    zeros = ops.xp.zeros_like(like.reshape(-1)[:2])
    return GaugeState(zeros, zeros[0], zeros[0])


def advance_gauge(
    ops: PlaneOps, fit: Fit, value_range: Plane, state: GaugeState, pace: Pace
) -> tuple[GaugeStep, GaugeState]:
    """Place a frame and the history on a common scale, between the history's and the network's own.

    Both are moved, so that averaging them afterwards delays nothing: the scale given follows the network's own with
    the leak as its only time constant. (A tracker that also learns the rate of change keeps up better with a steady
    zoom, but takes slow jitter for one and drifts further on long shots.)

    Args:
        ops: The library the numbers belong to.
        fit: How the new frame compares with the history.
        value_range: Range of the new depth.
        state: From the frame before.
        pace: The frame's.
    """
    xp = ops.xp
    step = xp.stack([xp.log(fit.scale), (fit.reference_centre - fit.raw_centre) / value_range])
    residual = fit.residual / value_range
    outlier = _is_outlier(ops, step, residual, state) * pace.gate

    kept = (1 - pace.leak * (1 - 0.75 * outlier)) * step

    learning = pace.learning * (1 - 0.7 * outlier)
    raw_scale = xp.exp(kept[0])
    centre = fit.raw_centre + kept[1] * value_range
    history_scale = raw_scale / fit.scale
    moved = GaugeStep(
        raw_scale,
        centre - fit.raw_centre * raw_scale,
        history_scale,
        centre - fit.reference_centre * history_scale,
        outlier,
    )
    return moved, GaugeState(
        state.usual_step + learning * (xp.abs(step) - state.usual_step),
        state.usual_residual + learning * (residual - state.usual_residual),
        outlier * (state.distrusted_seconds + pace.seconds),
    )


def _is_outlier(ops: PlaneOps, step: Plane, residual: Plane, state: GaugeState) -> Plane:
    xp = ops.xp
    excess = xp.abs(step) - (3 * state.usual_step + LEAST_STEP)
    strange = (excess[0] > 0) | (excess[1] > 0) | (residual > 2.5 * state.usual_residual + LEAST_RESIDUAL)
    allowed = state.distrusted_seconds < OUTLIER_SECONDS
    return xp.where(strange & allowed, xp.ones_like(residual), xp.zeros_like(residual))
