"""The ways of smoothing that are compared: the filter's presets, with look-ahead, and a plain EMA."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame
from ..temporal import CausalFilter, FilterState, ShotStore, TemporalConfig, TemporalPreset, smooth_shot

Float = NDArray[np.float32]
MethodName = TemporalPreset | Literal["offline"]


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """A clip's depth after smoothing."""

    depths: list[Float]
    """One map for each frame, as the network would have given it."""
    ms_per_frame: float
    """Wall time."""


def smooth_clip(name: MethodName, frames: Sequence[DepthFrame]) -> Smoothed:
    """Smooth a clip by a preset, or with look-ahead (``offline``)."""
    smooth: Callable[[Sequence[DepthFrame]], list[Float]]
    smooth = _offline if name == "offline" else lambda clip: _causal(name, clip)
    began = time.perf_counter()
    depths = smooth(frames)
    return Smoothed(depths, 1000 * (time.perf_counter() - began) / max(len(frames), 1))


def _causal(preset: TemporalPreset, frames: Sequence[DepthFrame]) -> list[Float]:
    smoother, state = CausalFilter(TemporalConfig.preset(preset)), None
    depths = []
    past: FilterState | None = state
    for frame in frames:
        depth, past = smoother.step(frame, past)
        depths.append(depth)
    return depths


def _offline(frames: Sequence[DepthFrame]) -> list[Float]:
    depths: list[Float] = []
    store = ShotStore()
    try:
        for frame in frames:
            if not store.accepts(frame):
                depths += smooth_shot(store)
                store.close()
                store = ShotStore()
            store.append(frame)
        depths += smooth_shot(store)
    finally:
        store.close()
    return depths


def plain_ema(frames: Sequence[DepthFrame], memory: float) -> list[Float]:
    """Smooth by ``memory * before + (1 - memory) * now``, pixel by pixel, begun anew at cuts: what others do."""
    depths: list[Float] = []
    for frame in frames:
        if not depths or frame.scene_cut:
            depths.append(frame.depth)
        else:
            depths.append(np.asarray(memory * depths[-1] + (1 - memory) * frame.depth, np.float32))
    return depths
