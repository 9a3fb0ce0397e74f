"""The causal filter, frame by frame: for the CPU, and for a device that must never be waited for."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import DepthFrame
from ..geometry import DepthKind
from .config import TemporalConfig
from .core import Moment, first_state, smooth
from .gauge import GaugeState, Pace, pace_of
from .motion import Motion, estimate_motion, thumbnail
from .planes import NumpyOps, Plane, PlaneOps, TorchOps
from .state import FilterState

LONGEST_GAP_SECONDS = 1.0
"""After a longer gap in time a feed begins anew."""

STEP_NUMBERS = 1 + len(Pace._fields)
"""How many numbers ``DeviceFilter.advance`` is told of each frame."""


class CausalFilter:
    """Smooths depth on the CPU. Holds nothing of a feed: one filter serves many, from any thread.

    A cut, a gap in time, a change of size or the picture's first frame passes through bit for bit.

    Args:
        config: The stages; None is the ``default`` preset.
    """

    def __init__(self, config: TemporalConfig | None = None) -> None:
        self.config = config or TemporalConfig()
        self._ops = NumpyOps()

    def step(self, frame: DepthFrame, state: FilterState | None) -> tuple[NDArray[np.float32], FilterState | None]:
        """Return the smoothed depth of ``frame`` and the state to give with the next frame; see ``TemporalFilter``."""
        config, pts = self.config, frame.video.pts_seconds
        if config.cuts_only:
            return frame.depth, None
        grey = thumbnail(frame.video.image)
        with np.errstate(all="ignore"):
            work = to_work(self._ops, frame.depth, frame.kind)
            fresh = frame.scene_cut or frame.video.discontinuity or begins_anew(state, frame.depth.shape, pts)
            if state is None or fresh or state.thumbnail is None or state.thumbnail.shape != grey.shape:
                return frame.depth, first_state(self._ops, work, pts, grey)
            motion = estimate_motion(state.thumbnail, grey, sigma=config.photometric, motion=config.motion)
            moment = Moment(pts, motion.flow, motion.confidence, grey)
            after, _ = smooth(self._ops, work, moment, state, config, align=aligns(config, frame.kind))
            return from_work(self._ops, after.depth, work, frame.depth, frame.kind), after


class DeviceFilter:
    """Smooths depth where it was made, on the current stream, and never waits for the device.

    Motion comes from outside: it is found on the CPU while the frame is decoded (``MotionFinder``) and uploaded with
    the picture. So the GPU spends nothing on the search, which OpenCV does in a millisecond or two, and both paths
    smooth alike.

    Args:
        config: The stages; None is the ``default`` preset.
    """

    def __init__(self, config: TemporalConfig | None = None) -> None:
        self.config = config or TemporalConfig()
        self._ops = TorchOps()

    def step(
        self,
        depth: Tensor,
        kind: DepthKind,
        pts_seconds: float,
        state: FilterState | None,
        *,
        flow: Tensor,
        confidence: Tensor,
        fresh: bool = False,
    ) -> tuple[Tensor, FilterState | None]:
        """Return the smoothed depth and the state to give with the next frame.

        Args:
            depth: (h, w) float32 as the network gave it.
            kind: What it means.
            pts_seconds: Presentation time.
            state: What came with the frame before; None at the start.
            flow: (2, hs, ws) float32 of ``Motion``, on the device.
            confidence: (hs, ws) float32 of ``Motion``, on the device.
            fresh: Whether a new shot begins with this frame; its depth then passes through.
        """
        if self.config.cuts_only:
            return depth, None
        work = to_work(self._ops, depth, kind)
        if state is None or fresh or begins_anew(state, depth.shape, pts_seconds):
            return depth, first_state(self._ops, work, pts_seconds, None)
        moment = Moment(pts_seconds, flow, confidence)
        after, _ = smooth(self._ops, work, moment, state, self.config, align=aligns(self.config, kind))
        return from_work(self._ops, after.depth, work, depth, kind), after

    def step_numbers(self, seconds: float, age: int, *, fresh: bool) -> NDArray[np.float32]:
        """Return what ``advance`` must be told of a frame, ``STEP_NUMBERS`` values, as the host knows them.

        Args:
            seconds: Time since the frame before.
            age: Frames of the shot so far, at least 1.
            fresh: Whether a new shot begins with this frame; the rest then counts for nothing.
        """
        return np.array([fresh, *pace_of(self.config, seconds, age)], np.float32)

    def advance(
        self, depth: Tensor, kind: DepthKind, motion: Tensor, state: FilterState, numbers: Tensor
    ) -> tuple[Tensor, FilterState]:
        """Take a step as ``step`` does, deciding nothing on the host: what differs from frame to frame comes in tensors.

        So the same operations serve every frame of a size, and can be recorded once and repeated.

        Args:
            depth: (h, w) float32 as the network gave it.
            kind: What it means.
            motion: (3, hs, ws) float32 of ``Motion``: flow, then confidence.
            state: Planes of the frame before; anything where ``numbers`` say that a shot begins. Time and age are not read.
            numbers: What ``step_numbers`` gave, on the device.
        """
        fresh, *pace = numbers.unbind()
        work = to_work(self._ops, depth, kind)
        first = first_state(self._ops, work, 0.0, None)
        moment = Moment(0.0, motion[:2], motion[2])
        align = aligns(self.config, kind)
        after, _ = smooth(self._ops, work, moment, state, self.config, align=align, pace=Pace(*pace))
        begins = fresh > 0

        def chosen(anew: Tensor, later: Tensor) -> Tensor:
            return torch.where(begins, anew, later)

        gauge = GaugeState(*(chosen(*pair) for pair in zip(first.gauge, after.gauge, strict=True)))
        smoothed = chosen(depth, from_work(self._ops, after.depth, work, depth, kind))
        return smoothed, FilterState(
            chosen(first.depth, after.depth), chosen(first.count, after.count), gauge, None, 0.0, 0
        )


class MotionFinder:
    """Finds each picture's motion since the one before, for ``DeviceFilter``; one for each feed."""

    def __init__(self, config: TemporalConfig | None = None) -> None:
        self._config = config or TemporalConfig()
        self._before: NDArray[np.uint8] | None = None

    def step(self, image: NDArray[np.uint8]) -> Motion:
        """Return the motion from the picture given before to ``image``, (H, W, 3) RGB; none for the first."""
        grey = thumbnail(image)
        before = self._before if self._before is not None and self._before.shape == grey.shape else grey
        self._before = grey
        return estimate_motion(before, grey, sigma=self._config.photometric, motion=self._config.motion)


def begins_anew(state: FilterState | None, shape: tuple[int, ...] | torch.Size, pts_seconds: float) -> bool:
    """Return whether a frame cannot follow ``state``: another size, time running back, or a long gap."""
    if state is None or tuple(state.depth.shape) != tuple(shape):
        return True
    return gap_between(state.pts_seconds, pts_seconds)


def gap_between(earlier_seconds: float, later_seconds: float) -> bool:
    """Return whether a frame at ``later_seconds`` does not follow the one at ``earlier_seconds``."""
    return not 0 <= later_seconds - earlier_seconds <= LONGEST_GAP_SECONDS


def aligns(config: TemporalConfig, kind: DepthKind) -> bool:
    """Return whether scale and shift may be changed: metres only when asked."""
    return config.align and (kind is not DepthKind.METRIC or config.align_metric)


def to_work(ops: PlaneOps, depth: Plane, kind: DepthKind) -> Plane:
    """Return inverse depth, where errors are even across the picture; what is no depth becomes infinite or NaN."""
    if kind is DepthKind.RELATIVE_INVERSE:
        return depth
    known = (depth > 0) & ops.xp.isfinite(depth)
    return ops.xp.where(known, 1 / depth, ops.xp.full_like(depth, float("nan")))


def from_work(ops: PlaneOps, smoothed: Plane, work: Plane, depth: Plane, kind: DepthKind) -> Plane:
    """Return the smoothed map in the network's own unit.

    Pixels that did not change keep their bits; those that were no depth stay as they came.
    """
    xp = ops.xp
    if kind is not DepthKind.RELATIVE_INVERSE:
        # Averages of inverse depth cannot fall below its least value by more than alignment moved it.
        smoothed = xp.where(smoothed == work, depth, 1 / xp.clip(smoothed, 1e-6, None))
    return xp.where(xp.isfinite(work), smoothed, depth)
