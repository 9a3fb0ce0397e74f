"""All measures of one shot at once, and their means over shots."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .metrics import (
    Flow,
    Images,
    Maps,
    Truth,
    accuracy,
    aligned_depth,
    cut_recovery,
    excess_flicker,
    fit_scale_shift,
    ghosting,
    lag,
    moving_edge_error,
    optical_flow_weighted,
    scale_jitter,
    static_flicker,
    temporal_alignment_error,
    value_range,
)
from .truth import TruthFrame


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures of a shot; None where they need what is not known. Lower is better but for ``delta1``."""

    abs_rel: float | None = None
    """Mean relative error of depth, one scale and shift for the shot."""
    abs_rel_per_frame: float | None = None
    """The same with a scale and shift for each frame: how good the shapes are."""
    delta1: float | None = None
    """Share of pixels within a factor of 1.25 of the truth, one scale and shift for the shot."""
    tae: float | None = None
    """Temporal alignment error, percent."""
    opw: float | None = None
    """Optical-flow weighted change, as published with NVDS."""
    opw_global: float | None = None
    """The same over the shot's range instead of each frame's own."""
    excess_flicker: float | None = None
    """FE: change of a surface point's depth beyond the true one, share of the range."""
    jumping: float | None = None
    """Share of pixels whose excess change is over 3 % of the range."""
    static_flicker: float | None = None
    """FE0: change of depth where the picture stands still, share of the range; needs no ground truth."""
    scale_jitter: float | None = None
    """Mean change of the best-fit scale from frame to frame."""
    scale_drift: float | None = None
    """Range of the best-fit scale's mean over 15 frames."""
    lag: float | None = None
    """Frames by which outlines of moving things trail."""
    ghosting: float | None = None
    """Error where a surface has just come into sight, share of the range."""
    moving_edges: float | None = None
    """Mean relative error of depth around outlines of moving things."""
    cut_recovery: float | None = None
    """Frames after the shot's first until the error is no more than 1.2 times the unfiltered one."""


def score_shot(
    predictions: Maps, truth: Truth, *, raw: Maps, images: Images | None = None, max_depth: float, align: bool = True
) -> Scores:
    """Measure the inverse-depth-like maps of one shot against its truth.

    Args:
        predictions: (h, w) maps at the truth's size.
        truth: What is known of each frame.
        raw: The same maps before smoothing, for the recovery after a cut.
        images: What the network saw, where that is not the truth's pictures.
        max_depth: Metres beyond which the truth does not count.
        align: Whether to fit scale and shift first; metric maps are judged as they are.
    """
    images = images or [frame.image for frame in truth]
    span = value_range(truth)
    scale, shift = fit_scale_shift(predictions, truth, max_depth=max_depth) if align else (1.0, 0.0)
    aligned = [np.asarray(scale * map_ + shift, np.float32) for map_ in predictions]
    # Brought to the truth the same way, a map that smoothing left alone has the same error.
    raw_aligned = [np.asarray(scale * map_ + shift, np.float32) for map_ in raw]
    depths = [aligned_depth(map_, scale, shift, max_depth=max_depth) for map_ in predictions]
    abs_rel, delta1 = accuracy(depths, truth, max_depth=max_depth)
    flicker = excess_flicker(aligned, truth, scale=span)
    jitter, drift = scale_jitter(aligned, truth)
    flows = [_flow_of(frame) for frame in truth]
    return Scores(
        abs_rel=abs_rel,
        abs_rel_per_frame=_per_frame(predictions, truth, max_depth),
        delta1=delta1,
        tae=temporal_alignment_error(depths, truth),
        opw=optical_flow_weighted(aligned, images, flows, scale=None),
        opw_global=optical_flow_weighted(aligned, images, flows, scale=span),
        excess_flicker=flicker[0] if flicker else None,
        jumping=flicker[1] if flicker else None,
        static_flicker=static_flicker(aligned, images, scale=span),
        scale_jitter=jitter,
        scale_drift=drift,
        lag=lag(aligned, truth),
        ghosting=ghosting(aligned, truth, scale=span),
        moving_edges=moving_edge_error(depths, truth),
        cut_recovery=float(cut_recovery(aligned, raw_aligned, truth)),
    )


def score_unseen(predictions: Maps, images: Images, flows: Sequence[Flow | None], *, scale: float) -> Scores:
    """Measure a shot of which no truth is known: flicker alone. ``scale`` is the range of its raw maps."""
    return Scores(
        opw=optical_flow_weighted(predictions, images, flows, scale=None),
        opw_global=optical_flow_weighted(predictions, images, flows, scale=scale),
        static_flicker=static_flicker(predictions, images, scale=scale),
    )


def mean_scores(scores: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """Return the mean of every measure over the shots that have it."""
    weights = weights or [1.0] * len(scores)
    means: dict[str, float | None] = {}
    for field in fields(Scores):
        pairs = [
            (value, weight)
            for score, weight in zip(scores, weights, strict=True)
            if (value := getattr(score, field.name)) is not None
        ]
        total = sum(weight for _, weight in pairs)
        means[field.name] = sum(value * weight for value, weight in pairs) / total if total else None
    return Scores(**means)


def _per_frame(predictions: Maps, truth: Truth, max_depth: float) -> float:
    depths = [
        aligned_depth(map_, *fit_scale_shift([map_], [frame], max_depth=max_depth), max_depth=max_depth)
        for map_, frame in zip(predictions, truth, strict=True)
    ]
    return accuracy(depths, truth, max_depth=max_depth)[0]


def _flow_of(frame: TruthFrame) -> Flow | None:
    return None if frame.motion is None else Flow(frame.motion.flow, frame.motion.visible_before)
