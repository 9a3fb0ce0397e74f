"""Smoothing with the future at hand: scale settled over the whole shot, averages forwards and backwards.

Three things a live filter cannot do: its scale follows a slow change without delay; a surface that comes into sight is
averaged with the frames that follow; and a wrong frame is judged from both sides.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .config import REFERENCE_RATE, TemporalConfig
from .core import Moment, first_state, follow, smooth
from .filter import aligns, from_work, to_work
from .gauge import GaugeStep
from .motion import estimate_motion
from .planes import NumpyOps
from .scratch import PlaneScratch
from .shot_store import RawShot
from .state import FilterState

GAUGE_SECONDS = 0.4
"""Scale and shift keep what changes slower than this, and lose what is faster."""
DOUBT = 8.0
"""A slope is believed as far as it exceeds this many times its own variance. Only the ends of a shot depend on slopes;
errors there last for frames, so that the variance by itself claims far too much."""
OWN_SHARE = 0.5
"""How much of its own scale and shift a shot's first frame keeps, where the path has nothing before it to lean on: so
no cut looks much worse than without smoothing, whichever of the two is wrong."""
OWN_SECONDS = 0.1
"""Time in which the frames after it go over to the path: the eye forgives a cut for about as long."""
BLOCK = 192
"""Frames averaged at a time; bounds the scratch file."""
MARGIN = 48
"""Frames beyond a block from which its averages come back: what lies farther weighs under 1 %."""

Floats = NDArray[np.float64]


def smooth_shot(
    shot: RawShot, config: TemporalConfig | None = None, *, scratch: Path | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the smoothed depth of every frame of one shot, in order and in its own unit.

    Args:
        shot: All raw frames of the shot.
        config: The stages; None is the ``default`` preset.
        scratch: Folder for a scratch file of at most 480 maps; None is the system's folder for such files.
    """
    config = config or TemporalConfig()
    if config.cuts_only:
        yield from (shot.depth(index) for index in range(len(shot)))
        return
    pass_over = _Pass(shot, config)
    with np.errstate(all="ignore"), PlaneScratch(scratch) as planes:
        gauges = pass_over.settle()
        state: FilterState | None = None
        for begin in range(0, len(shot), BLOCK):
            end = min(begin + BLOCK, len(shot))
            state = pass_over.forwards(planes, gauges, state, begin, end)
            for index in pass_over.backwards(planes, gauges, begin, end):
                yield pass_over.in_own_unit(planes.read(index - begin)[0], index)


class _Pass:
    """One shot with the filter's settings, gone over several times."""

    def __init__(self, shot: RawShot, config: TemporalConfig) -> None:
        self._shot, self._config = shot, config
        self._ops = NumpyOps()
        self._align = aligns(config, shot.kind)

    def settle(self) -> "_Gauges":
        """Run the causal filter and find each frame's scale on the way, then smooth these over the shot."""
        count = len(self._shot)
        maps, outlier = np.tile(np.array([1.0, 0.0]), (count, 1)), np.zeros(count)
        # (scale, shift) from the running output to the shot's common scale.
        common = np.array([1.0, 0.0])
        state: FilterState | None = None
        for index in range(count):
            work = self._work(index)
            if state is None:
                state = first_state(self._ops, work, self._shot.pts_seconds(index), None)
                continue
            moment = self._moment(index, index - 1)
            state, step = smooth(self._ops, work, moment, state, self._config, align=self._align)
            history = np.array([step.history_scale, step.history_shift], np.float64)
            common = _after(common, _inverse(history))
            maps[index] = _after(common, np.array([step.raw_scale, step.raw_shift], np.float64))
            outlier[index] = step.outlier
        times = np.array([self._shot.pts_seconds(index) for index in range(count)])
        centre = 0.0 if state is None else float(np.mean(state.depth)) * common[0] + common[1]
        return _Gauges(maps, outlier, times, centre, moves=self._align)

    def forwards(
        self, planes: PlaneScratch, gauges: "_Gauges", state: FilterState | None, begin: int, end: int
    ) -> FilterState | None:
        """Average from ``begin`` past ``end``, keeping maps and counts; return the state after ``end - 1``."""
        at_end = state
        for index in range(begin, min(end + MARGIN, len(self._shot))):
            state = self._step(gauges, state, index, index - 1)
            planes.write(index - begin, state.depth, state.count)
            if index == end - 1:
                at_end = state
        return at_end

    def backwards(self, planes: PlaneScratch, gauges: "_Gauges", begin: int, end: int) -> range:
        """Average back from beyond ``end`` and join both; return the numbers of the frames that are done."""
        state: FilterState | None = None
        for index in reversed(range(begin, min(end + MARGIN, len(self._shot)))):
            state = self._step(gauges, state, index, index + 1)
            if index < end:
                depth, count = planes.read(index - begin)
                total = count + state.count
                share = np.where(total > 0, state.count / np.maximum(total, 1e-6), 0.5)
                planes.write(index - begin, depth + (state.depth - depth) * share, total)
        return range(begin, end)

    def in_own_unit(self, smoothed: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """Return a finished map as the network would have given it."""
        raw = self._shot.depth(index)
        result = from_work(self._ops, smoothed, to_work(self._ops, raw, self._shot.kind), raw, self._shot.kind)
        return np.asarray(result, np.float32)

    def _step(self, gauges: "_Gauges", state: FilterState | None, index: int, neighbour: int) -> FilterState:
        work = self._work(index)
        if state is None:
            own = gauges.own(index)
            work = work * np.float32(own[0]) + np.float32(own[1])
            return first_state(self._ops, work, self._shot.pts_seconds(index), None)
        moment = self._moment(index, neighbour)
        step = gauges.step(index, neighbour)
        return follow(self._ops, work, moment, state, self._config, step, bend=self._align)

    def _work(self, index: int) -> NDArray[np.float32]:
        return np.asarray(to_work(self._ops, self._shot.depth(index), self._shot.kind))

    def _moment(self, index: int, neighbour: int) -> Moment:
        config, now = self._config, self._shot.thumbnail(index)
        motion = estimate_motion(self._shot.thumbnail(neighbour), now, sigma=config.photometric, motion=config.motion)
        return Moment(self._shot.pts_seconds(index), motion.flow, motion.confidence)


class _Gauges:
    """Each frame's scale and shift, smoothed over the shot; pairs are (scale, shift).

    Args:
        common_from_raw: (n, 2) each raw map's way to the shot's common scale.
        outlier: (n,) 1 for frames that a causal filter distrusted.
        times: (n,) seconds.
        centre: A typical value on the common scale, about which scale and shift are independent.
        moves: Whether anything may be changed.
    """

    def __init__(self, common_from_raw: Floats, outlier: Floats, times: Floats, centre: float, *, moves: bool) -> None:
        self._outlier = outlier
        raw_from_common = np.array([_inverse(pair) for pair in common_from_raw]).reshape(-1, 2)
        self._result_from_common = raw_from_common
        if moves and len(times) > 1:
            # As (log of scale, value at the centre) the two can be smoothed apart.
            paths = np.stack([np.log(raw_from_common[:, 0]), raw_from_common @ (centre, 1.0)], 1)
            smoothed = np.stack([smooth_path(path, times, 1 - outlier) for path in paths.T], 1)
            fading = OWN_SHARE * np.exp((times[0] - times) / OWN_SECONDS)
            smoothed += fading[:, None] * (paths[0] - smoothed[0])
            scale = np.exp(smoothed[:, 0])
            self._result_from_common = np.stack([scale, smoothed[:, 1] - scale * centre], 1)
        self._result_from_raw = np.array(
            [_after(result, raw) for result, raw in zip(self._result_from_common, common_from_raw, strict=True)]
        )

    def own(self, index: int) -> Floats:
        """Return the way from a raw map to the result."""
        return np.asarray(self._result_from_raw[index])

    def step(self, index: int, neighbour: int) -> GaugeStep:
        """Return how to bring a frame, and the history of its neighbour, to the frame's result."""
        history = _after(self._result_from_common[index], _inverse(self._result_from_common[neighbour]))
        own = self.own(index)
        return GaugeStep(*(np.float32(value) for value in (*own, *history, self._outlier[index])))


def smooth_path(values: Floats, times: Floats, weights: Floats) -> Floats:
    """Smooth a path in time by lines fitted around each instant, robustly: a steady change passes unaltered.

    Args:
        values: (n,) the path.
        times: (n,) seconds.
        weights: (n,) trust in each value, 0..1.
    """
    trust = np.maximum(weights, 1e-3)
    smoothed = _fit_lines(values, times, trust, variance=0.0)
    for _ in range(3):
        distance = np.abs(values - smoothed)
        sigma = 2 * 1.48 * np.median(distance) + 1e-12
        robust = trust / (1 + (distance / sigma) ** 2)
        smoothed = _fit_lines(values, times, robust, variance=float(robust @ distance**2 / robust.sum()))
    return smoothed


def _fit_lines(values: Floats, times: Floats, weights: Floats, *, variance: float) -> Floats:
    smoothed = np.empty_like(values)
    reach = 3.5 * GAUGE_SECONDS
    for index, now in enumerate(times):
        near = slice(*np.searchsorted(times, (now - reach, now + reach + 1 / REFERENCE_RATE)))
        offset = times[near] - now
        window = np.exp(-0.5 * (offset / GAUGE_SECONDS) ** 2)
        weight = weights[near] * window
        total = weight.sum()
        mean_t, mean_v = weight @ offset / total, weight @ values[near] / total
        offset -= mean_t
        spread = weight @ offset**2
        slope = weight @ (offset * (values[near] - mean_v)) / spread if spread > 1e-12 else 0.0
        if slope**2 > 0:
            doubt = DOUBT * variance * (weight * window @ offset**2) / spread**2
            slope *= slope**2 / (slope**2 + doubt)
        smoothed[index] = mean_v - slope * mean_t
    return smoothed


def _after(outer: Floats, inner: Floats) -> Floats:
    """Return the map that does ``inner`` first and then ``outer``."""
    return np.array([outer[0] * inner[0], outer[0] * inner[1] + outer[1]])


def _inverse(pair: Floats) -> Floats:
    return np.array([1 / pair[0], -pair[1] / pair[0]])
