"""The measures of depth video, one function each, over the frames of one shot. Knows no file and no filter.

Every ``predictions`` is a sequence of (h, w) inverse-depth-like maps, larger is nearer. Sources: AbsRel, delta-1 and
TAE as in the benchmark of Video Depth Anything (arXiv 2501.12375); OPW as published with NVDS (arXiv 2307.08695).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..temporal.flicker import still_pixels
from ..temporal.motion import thumbnail
from .truth import Float, Mask, TruthFrame

MIN_INVERSE = 1e-3
"""Inverse depth below this (farther than a kilometre) is taken as this, as the benchmarks do."""
TAE_FRAMES = 180
"""The benchmark of Video Depth Anything looks at this many frames of each scene."""

Maps = Sequence[Float]
Images = Sequence[NDArray[np.uint8]]
Truth = Sequence[TruthFrame]


class Flow(NamedTuple):
    """Motion of a picture's points since the frame before."""

    flow: Float
    """(h, w, 2) pixels: what is at ``(x, y)`` was at ``(x, y) + flow``."""
    visible_before: Mask
    """(h, w): whether it could be seen then."""


def fit_scale_shift(predictions: Maps, truth: Truth, *, max_depth: float) -> tuple[float, float]:
    """Return the scale and shift that bring all predictions closest to the true inverse depth, least squares."""
    sums = np.zeros(5)
    for prediction, frame in zip(predictions, truth, strict=True):
        mask = depth_mask(frame, max_depth)
        x = np.maximum(prediction[mask], MIN_INVERSE).astype(np.float64)
        y = frame.inverse_depth[mask].astype(np.float64)
        sums += np.array([x.size, x.sum(), y.sum(), (x * x).sum(), (x * y).sum()])
    count, sum_x, sum_y, sum_xx, sum_xy = sums
    spread = count * sum_xx - sum_x**2
    if spread <= 1e-12 * max(count * sum_xx, 1e-300):
        return 0.0, sum_y / max(count, 1)
    scale = (count * sum_xy - sum_x * sum_y) / spread
    return float(scale), float((sum_y - scale * sum_x) / count)


def depth_mask(frame: TruthFrame, max_depth: float) -> Mask:
    """Return where the truth counts: known, and nearer than ``max_depth`` metres."""
    return np.asarray((frame.inverse_depth > 1 / max_depth) & (frame.inverse_depth < 1 / MIN_INVERSE))


def aligned_depth(prediction: Float, scale: float, shift: float, *, max_depth: float) -> Float:
    """Return depth in metres from an inverse-depth-like map, clipped to ``max_depth``."""
    depth = np.minimum(1 / np.maximum(scale * prediction + shift, MIN_INVERSE), max_depth)
    return np.asarray(depth, np.float32)


def accuracy(depths: Maps, truth: Truth, *, max_depth: float) -> tuple[float, float]:
    """Return AbsRel (mean over frames) and delta-1 (share of pixels within a factor of 1.25) of aligned depth."""
    errors, close, counted = [], 0, 0
    for depth, frame in zip(depths, truth, strict=True):
        mask = depth_mask(frame, max_depth)
        if mask.any():
            true = 1 / frame.inverse_depth[mask]
            errors.append(float(np.mean(np.abs(depth[mask] - true) / true)))
            close += int(np.count_nonzero(np.maximum(depth[mask] / true, true / depth[mask]) < 1.25))
            counted += int(mask.sum())
    return float(np.mean(errors)), close / max(counted, 1)


def value_range(truth: Truth) -> float:
    """Return the shot's range of true inverse depth, 2 % to 98 % of the pixels."""
    samples = np.concatenate([frame.inverse_depth[::4, ::4][frame.valid[::4, ::4]] for frame in truth])
    low, high = np.percentile(samples, (2, 98))
    return max(float(high - low), 1e-9)


def temporal_alignment_error(depths: Maps, truth: Truth) -> float | None:
    """Return TAE, percent: how far depth carried by the true camera motion misses the next frame's.

    None without poses. For static scenes: a thing that moves by itself counts as error.
    """
    errors = []
    for index in range(min(len(depths), TAE_FRAMES) - 1):
        before, after = truth[index], truth[index + 1]
        if before.world_from_camera is None or after.world_from_camera is None or before.intrinsics is None:
            return None
        forward = np.asarray(np.linalg.inv(after.world_from_camera) @ before.world_from_camera, np.float64)
        errors.append(_carried_error(depths[index], depths[index + 1], forward, before))
        backward = np.asarray(np.linalg.inv(forward), np.float64)
        errors.append(_carried_error(depths[index + 1], depths[index], backward, before))
    return 100 * float(np.mean(errors)) if errors else None


def _carried_error(depth: Float, other: Float, other_from_this: NDArray[np.float64], camera: TruthFrame) -> float:
    """Unproject, transform, project to the nearest pixel (the last one written wins) and compare."""
    assert camera.intrinsics is not None
    k = camera.intrinsics
    height, width = depth.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    # A pixel's centre lies half a pixel from its corner.
    points = np.stack([(x + 0.5 - k.cx) / k.fx * depth, (y + 0.5 - k.cy) / k.fy * depth, depth], -1).reshape(-1, 3)
    moved = points @ other_from_this[:3, :3].T + other_from_this[:3, 3]
    moved = moved[moved[:, 2] > 1e-6]
    column = np.floor(moved[:, 0] / moved[:, 2] * k.fx + k.cx).astype(np.int64)
    row = np.floor(moved[:, 1] / moved[:, 2] * k.fy + k.cy).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    carried = np.zeros((height, width))
    carried[row[inside], column[inside]] = moved[inside, 2]
    both = (carried > 0) & (other > 0)
    return float(np.mean(np.abs(other[both] - carried[both]) / other[both])) if both.any() else 0.0


def warp(image: NDArray[np.float32], flow: Float) -> NDArray[np.float32]:
    """Sample ``image`` (h, w[, c]) at each pixel plus its ``flow``, bilinearly; the border is repeated outside."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(
        cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE), np.float32
    )


def optical_flow_weighted(
    predictions: Maps, images: Images, flows: Sequence[Flow | None], *, scale: float | None
) -> float | None:
    """Return OPW: change of depth along the optical flow, where the colours agree.

    Args:
        predictions: Inverse-depth-like maps.
        images: (h, w, 3) RGB of each.
        flows: Motion from each frame to the one before, of the same size; None at cuts.
        scale: None for OPW as published: each frame is centred and scaled by itself, so that a change of scale goes
            unseen. A range of the predictions over the shot for OPWg: divided by it, masked by visibility.
    """
    errors = []
    for index in range(1, len(predictions)):
        flow = flows[index]
        if flow is None:
            continue
        pair = predictions[index - 1 : index + 1]
        before, now = (_standard(map_) if scale is None else np.asarray(map_ / scale, np.float32) for map_ in pair)
        colours_now = images[index].astype(np.float32) / 255
        colours_before = warp(np.asarray(images[index - 1] / 255, np.float32), flow.flow)
        weight = np.exp(-50 * (colours_now - colours_before) ** 2).sum(-1)
        error = weight * np.abs(now - warp(before, flow.flow))
        if scale is None:
            errors.append(10 * float(error.mean()))
        elif flow.visible_before.any():
            errors.append(float(error[flow.visible_before].mean()) / 3)
    return float(np.mean(errors)) if errors else None


def estimate_flow(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> Flow:
    """Estimate the motion from ``now`` to ``before`` where no truth is known: dense inverse search, both ways."""
    grey_before, grey_now = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, now))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back, forth = (
        np.asarray(search.calc(first, second, None), np.float32)  # type: ignore[call-overload]
        for first, second in ((grey_now, grey_before), (grey_before, grey_now))
    )
    # A point that does not find its way back was hidden.
    miss = np.linalg.norm(back + warp(forth, back), axis=-1)
    return Flow(back, np.asarray(miss < 1 + 0.05 * np.linalg.norm(back, axis=-1)))


def _standard(depth: Float) -> Float:
    centred = depth - np.median(depth)
    return np.asarray(centred / max(float(np.mean(np.abs(centred))), 1e-9), np.float32)


def excess_flicker(aligned: Maps, truth: Truth, *, scale: float) -> tuple[float, float] | None:
    """Return how much the depth of a surface point changes beyond its true change, and the share that jumps.

    The first is a mean, as a share of ``scale``; the second counts pixels whose excess step is over 3 %.
    The truth itself scores (almost) 0; None without true motion.
    """
    steps, jumps = [], []
    for index in range(1, len(aligned)):
        motion = truth[index].motion
        if motion is None:
            continue
        true_before = warp(truth[index - 1].inverse_depth, motion.flow)
        # Sampling between two surfaces mixes them: such pixels say nothing about the prediction.
        clean = np.abs(true_before - motion.inverse_depth_before) < 0.01 * scale
        mask = motion.visible_before & clean & truth[index].valid
        change = aligned[index] - warp(aligned[index - 1], motion.flow)
        excess = np.abs(change - (truth[index].inverse_depth - motion.inverse_depth_before))[mask] / scale
        if excess.size:
            steps.append(float(excess.mean()))
            jumps.append(float(np.mean(excess > 0.03)))
    return (float(np.mean(steps)), float(np.mean(jumps))) if steps else None


def scale_jitter(aligned: Maps, truth: Truth) -> tuple[float, float]:
    """Return how much the best-fit scale changes from frame to frame (mean of logs), and how far it drifts.

    Drift is the range of its mean over 15 frames.
    """
    logs = []
    for prediction, frame in zip(aligned, truth, strict=True):
        x, y = prediction[frame.valid].astype(np.float64), frame.inverse_depth[frame.valid].astype(np.float64)
        logs.append(math.log(max(float((x * y).sum()) / max(float((x * x).sum()), 1e-12), 1e-6)))
    path = np.asarray(logs)
    smooth = np.convolve(path, np.ones(min(15, path.size)) / min(15, path.size), "valid")
    return float(np.abs(np.diff(path)).mean()) if path.size > 1 else 0.0, float(np.ptp(smooth))


def edge_band(frame: TruthFrame) -> Mask | None:
    """Return the 13 pixels (at a width of 448) around the outlines of moving things; None where none is known."""
    if frame.moving is None or not frame.moving.any():
        return None
    outline = cv2.morphologyEx(frame.moving.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    size = max(3, round(13 * frame.moving.shape[1] / 448) | 1)
    return np.asarray(cv2.dilate(outline, np.ones((size, size), np.uint8)) > 0)


def lag(aligned: Maps, truth: Truth) -> float | None:
    """Return by how many frames the outlines of moving things trail behind; None without moving things."""
    delays = range(-1, 6)
    totals = np.zeros(len(delays))
    for index in range(max(delays), len(aligned) - 1):
        band = edge_band(truth[index])
        if band is not None:
            totals += [float(np.abs(aligned[index] - truth[index - tau].inverse_depth)[band].mean()) for tau in delays]
    if not totals.any():
        return None
    best = int(np.clip(np.argmin(totals), 1, len(totals) - 2))
    left, middle, right = totals[best - 1 : best + 2]
    bend = left - 2 * middle + right
    vertex = 0.5 * (left - right) / bend if bend > 0 else 0.0
    # Beyond the delays that were tried the parabola knows nothing: 5 stands for 5 or more.
    return float(np.clip(delays[best] + vertex, delays[0], delays[-1]))


def ghosting(aligned: Maps, truth: Truth, *, scale: float) -> float | None:
    """Return the mean error, as a share of ``scale``, where a surface has just come into sight."""
    errors = []
    for index in range(1, len(aligned)):
        motion = truth[index].motion
        if motion is not None:
            fresh = ~motion.visible_before & truth[index].valid
            if fresh.any():
                errors.append(float(np.abs(aligned[index] - truth[index].inverse_depth)[fresh].mean() / scale))
    return float(np.mean(errors)) if errors else None


def moving_edge_error(depths: Maps, truth: Truth) -> float | None:
    """Return AbsRel around the outlines of moving things, of aligned depth in metres."""
    errors = []
    for depth, frame in zip(depths, truth, strict=True):
        band = edge_band(frame)
        if band is not None:
            band &= frame.valid
            true = 1 / frame.inverse_depth[band]
            errors.append(float(np.mean(np.abs(depth[band] - true) / true)))
    return float(np.mean(errors)) if errors else None


def cut_recovery(aligned: Maps, raw_aligned: Maps, truth: Truth) -> int:
    """Return how many frames at the shot's start have more than 1.2 times the unfiltered error, in a row."""
    for index, (prediction, raw, frame) in enumerate(zip(aligned, raw_aligned, truth, strict=True)):
        true, mask = frame.inverse_depth, frame.valid
        if np.abs(prediction - true)[mask].mean() <= 1.2 * np.abs(raw - true)[mask].mean() + 1e-9:
            return index
    return len(aligned)


def static_flicker(predictions: Maps, images: Images, *, scale: float) -> float | None:
    """Return FE0: the mean change, as a share of ``scale``, where the picture did not change beyond its noise.

    Needs no ground truth. None where nothing stands still.
    """
    changes = []
    for index in range(1, len(predictions)):
        small = [thumbnail(images[number]) for number in (index - 1, index)]
        still = still_pixels(*small)
        if still.any():
            step = np.abs(predictions[index] - predictions[index - 1])
            step = cv2.resize(step, (still.shape[1], still.shape[0]), interpolation=cv2.INTER_NEAREST)
            changes.append(float(step[still].mean() / scale))
    return float(np.mean(changes)) if changes else None
