"""Runs every way of smoothing over clips and gathers the scores. Prints and draws nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import DepthKind
from .clips import Clip, inverse_at
from .methods import Float, MethodName, plain_ema, smooth_clip
from .metrics import Flow, Images, estimate_flow, excess_flicker, fit_scale_shift, static_flicker, value_range
from .scores import Scores, mean_scores, score_shot, score_unseen

RAW = "raw"
"""Name of the row without smoothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One way of smoothing, over all clips."""

    method: str
    """``raw``, a preset, ``offline``, or the plain EMA with its memory."""
    mean: Scores
    """Mean over the clips."""
    per_clip: list[Scores]
    """One for each clip, in order."""
    ms_per_frame: float
    """Wall time of smoothing a frame; 0 for raw."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What was found."""

    clips: list[str]
    """Names of the clips."""
    rows: list[Row]
    """Raw first, then one for each way of smoothing."""


def evaluate(
    clips: Iterable[Clip],
    methods: Sequence[MethodName],
    *,
    rival: MethodName | None = "default",
    keep: Callable[[Clip, dict[str, list[Float]]], None] | None = None,
) -> Report:
    """Smooth and measure every clip.

    Args:
        clips: Taken one after the other, so that only one is held in memory.
        methods: What to compare.
        rival: A plain EMA that flickers as little as this one is measured beside it; None for no EMA.
        keep: Called with each clip and its results by method, e.g. to draw them.
    """
    names: list[str] = []
    found: dict[str, list[Scores]] = {}
    times: dict[str, list[float]] = {}
    for clip in clips:
        names.append(clip.name)
        judge = _Judge(clip)
        results = {RAW: [frame.depth for frame in clip.frames]}
        times.setdefault(RAW, []).append(0.0)
        for method in methods:
            smoothed = smooth_clip(method, clip.frames)
            results[method] = smoothed.depths
            times.setdefault(method, []).append(smoothed.ms_per_frame)
        if rival in results:
            label = f"EMA like {rival}"
            results[label] = equal_ema(clip, judge, judge.flicker(results[rival]))
            times.setdefault(label, []).append(0.0)
        for method_name, depths in results.items():
            found.setdefault(method_name, []).append(judge.scores(depths))
        if keep is not None:
            keep(clip, results)
    rows = [Row(name, mean_scores(scores), scores, float(np.mean(times[name]))) for name, scores in found.items()]
    return Report(names, rows)


def equal_ema(clip: Clip, judge: "_Judge", flicker: float | None) -> list[Float]:
    """Return the plain EMA whose flicker comes closest to ``flicker``, found by halving."""
    low, high = 0.0, 0.99
    for _ in range(8):
        middle = (low + high) / 2
        reached = judge.flicker(plain_ema(clip.frames, middle))
        if flicker is None or reached is None or reached <= flicker:
            high = middle
        else:
            low = middle
    return plain_ema(clip.frames, high)


class _Judge:
    """Measures results on one clip, with everything that does not depend on the result done once."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._metric = clip.frames[0].kind is DepthKind.METRIC
        self._images: Images = [frame.video.image for frame in clip.frames]
        self._raw = self._maps([frame.depth for frame in clip.frames])
        self._flows: list[Flow | None] = [None] * len(clip.frames)
        if clip.truth is None:
            for shot in clip.shots():
                for index in range(shot.start + 1, shot.stop):
                    self._flows[index] = estimate_flow(self._images[index - 1], self._images[index])

    def scores(self, depths: Sequence[Float]) -> Scores:
        """Measure every shot; return their mean, weighted by length."""
        maps = self._maps(depths)
        shots = list(self._clip.shots())
        return mean_scores([self._score(maps, shot) for shot in shots], [shot.stop - shot.start for shot in shots])

    def flicker(self, depths: Sequence[Float]) -> float | None:
        """Return excess flicker where the truth is known, else flicker of what stands still."""
        maps = self._maps(depths)
        values = [value for shot in self._clip.shots() if (value := self._flicker(maps[shot], shot)) is not None]
        return float(np.mean(values)) if values else None

    def _flicker(self, maps: list[Float], shot: slice) -> float | None:
        if self._clip.truth is None:
            return static_flicker(maps, self._images[shot], scale=self._span(shot))
        truth = self._clip.truth[shot]
        scale, shift = self._alignment(maps, shot)
        excess = excess_flicker([scale * map_ + shift for map_ in maps], truth, scale=value_range(truth))
        return excess[0] if excess else static_flicker(maps, self._images[shot], scale=self._span(shot))

    def _alignment(self, maps: list[Float], shot: slice) -> tuple[float, float]:
        if self._metric or self._clip.truth is None:
            return 1.0, 0.0
        return fit_scale_shift(maps, self._clip.truth[shot], max_depth=self._clip.max_depth)

    def _score(self, maps: list[Float], shot: slice) -> Scores:
        if self._clip.truth is None:
            return score_unseen(maps[shot], self._images[shot], self._flows[shot], scale=self._span(shot))
        return score_shot(
            maps[shot],
            self._clip.truth[shot],
            raw=self._raw[shot],
            images=self._images[shot] if self._same_size() else None,
            max_depth=self._clip.max_depth,
            align=not self._metric,
        )

    def _same_size(self) -> bool:
        assert self._clip.truth is not None
        return self._images[0].shape == self._clip.truth[0].image.shape

    def _span(self, shot: slice) -> float:
        samples = np.concatenate([map_[::4, ::4].ravel() for map_ in self._raw[shot]])
        low, high = np.percentile(samples, (2, 98))
        return max(float(high - low), 1e-9)

    def _maps(self, depths: Sequence[Float]) -> list[Float]:
        clip = self._clip
        sizes = [frame.depth.shape for frame in clip.frames]
        if clip.truth is not None:
            sizes = [frame.inverse_depth.shape for frame in clip.truth]
        return [
            inverse_at(depth, frame, (size[0], size[1]))
            for depth, frame, size in zip(depths, clip.frames, sizes, strict=True)
        ]
