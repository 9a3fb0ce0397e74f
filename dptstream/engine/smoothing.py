"""The smoothing stage: a temporal filter for one feed, what it remembers, and how much flicker it removed."""

import struct
from dataclasses import replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import DepthFrame, VideoFrame
from ..geometry import DepthKind
from ..models.base import DepthModel
from ..temporal import CausalFilter, DeviceFilter, FilterState, FlickerMeter, FlickerScore, MotionFinder, TemporalConfig
from ..temporal.filter import begins_anew
from ..temporal.gauge import GaugeState
from .backend import Backend

SAVE_EVERY = 50
"""Frames between two states that a killed run can go on from; the frames since then are inferred again."""

_LENGTHS = struct.Struct("<qq")


@runtime_checkable
class StatefulSink(Protocol):
    """A sink that also keeps what the engine needs to go on after a kill."""

    def save_state(self, sequence: int, blob: bytes) -> None:
        """Keep ``blob``, which was current before frame ``sequence``."""

    def load_state(self) -> tuple[int, bytes] | None:
        """Return the frame to go on with and the blob that was current before it; None where none was kept."""


class Smoother:
    """One feed's smoothing: the filter, its state and the flicker meter.

    On the CPU frames are smoothed one by one in the thread that writes (``smooth``). On a device that runs by itself
    they are smoothed where they are: the host says what it knows of each frame (``begin``), and the step itself
    (``advance``) is the same operations on the same memory for every frame of a size.

    Attributes:
        keeps_states: Whether somebody wants the state before every ``SAVE_EVERY``-th frame.
    """

    def __init__(self, config: TemporalConfig, device: torch.device, *, on_device: bool) -> None:
        self._device = device
        self._host_filter = None if on_device else CausalFilter(config)
        self._device_filter = DeviceFilter(config) if on_device else None
        self._motion = MotionFinder(config) if on_device else None
        self._state: FilterState | None = None
        self._planes: dict[tuple[int, int], FilterState] = {}
        self._meter = FlickerMeter()
        self.keeps_states = False

    @property
    def on_device(self) -> bool:
        """Whether ``begin`` and ``advance`` are the ones to call."""
        return self._device_filter is not None

    @property
    def state(self) -> FilterState | None:
        """What the filter remembers; a value that later steps leave as it is."""
        return self._state

    @property
    def score(self) -> FlickerScore:
        """Flicker before and after, over all frames so far."""
        return self._meter.score

    def find_motion(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """Return (3, h, w): flow x, flow y and confidence since the picture before; None on the CPU path."""
        if self._motion is None:
            return None
        motion = self._motion.step(image)
        return np.concatenate((motion.flow, motion.confidence[None]))

    def begin(self, frame: VideoFrame, size_hw: tuple[int, int], *, fresh: bool) -> NDArray[np.float32]:
        """Take the next frame, whose depth will be of ``size_hw``; return the numbers that ``advance`` must be given.

        ``fresh``, a jump, a gap in time and another size begin anew. Touches the host's memory alone.
        """
        assert self._device_filter is not None
        before, pts = self._state, frame.pts_seconds
        fresh = fresh or frame.discontinuity or before is None or begins_anew(before, size_hw, pts)
        seconds, age = (0.0, 1) if before is None or fresh else (pts - before.pts_seconds, before.age)
        held = self._planes.setdefault(size_hw, before if before is not None and not fresh else self._empty(size_hw))
        self._state = replace(held, pts_seconds=pts, age=1 if fresh else age + 1)
        return self._device_filter.step_numbers(seconds, age, fresh=fresh)

    def planes(self, size_hw: tuple[int, int]) -> list[Tensor]:
        """Return the memory that ``advance`` reads and writes for maps of that size."""
        held = self._planes[size_hw]
        return [held.depth, held.count, *held.gauge]

    def advance(self, depth_hw: Tensor, kind: DepthKind, motion_3hw: Tensor, numbers: Tensor) -> Tensor:
        """Return the smoothed depth, on the current stream, and remember it in place."""
        assert self._device_filter is not None
        size_hw = (depth_hw.shape[0], depth_hw.shape[1])
        smoothed_hw, after = self._device_filter.advance(depth_hw, kind, motion_3hw, self._planes[size_hw], numbers)
        for plane, value in zip(self.planes(size_hw), (after.depth, after.count, *after.gauge), strict=True):
            plane.copy_(value)
        return smoothed_hw

    def state_before(self, sequence: int) -> FilterState | None:
        """Return what is remembered before ``sequence``, where somebody wants it; to be ``copied`` before the next step."""
        return self._state if self.keeps_states and sequence % SAVE_EVERY == 0 else None

    def _empty(self, size_hw: tuple[int, int]) -> FilterState:
        """Return planes that hold nothing yet: the first frame of a shot does not look at them."""
        depth, count, step, residual, distrusted = (
            torch.empty(shape, device=self._device) for shape in (size_hw, size_hw, (2,), (), ())
        )
        return FilterState(depth, count, GaugeState(step, residual, distrusted), None, 0.0, 0)

    def smooth(self, frame: DepthFrame) -> NDArray[np.float32]:
        """Return the smoothed depth of the next frame."""
        assert self._host_filter is not None
        smoothed, self._state = self._host_filter.step(frame, self._state)
        return smoothed

    def measure(self, frame: DepthFrame, smoothed: NDArray[np.float32]) -> None:
        """Count a frame's flicker with the network's own depth and with the smoothed one."""
        self._meter.step(frame, smoothed)

    def snapshot(self, state: FilterState | None) -> bytes:
        """Return ``state`` and the meter as bytes."""
        filter_blob = b"" if state is None else state.snapshot()
        meter_blob = self._meter.snapshot()
        return _LENGTHS.pack(len(filter_blob), len(meter_blob)) + filter_blob + meter_blob

    def restore(self, blob: bytes) -> Self:
        """Take up what ``snapshot`` wrote; raises ValueError where the bytes are no such thing."""
        if len(blob) < _LENGTHS.size:
            raise ValueError(f"these {len(blob)} bytes are no state of the smoothing stage")
        filter_length, _ = _LENGTHS.unpack_from(blob)
        filter_blob, meter_blob = blob[_LENGTHS.size :][:filter_length], blob[_LENGTHS.size + filter_length :]
        device = self._device if self.on_device else None
        self._state = FilterState.restore(filter_blob, device) if filter_blob else None
        self._planes.clear()
        self._meter = FlickerMeter.restore(meter_blob)
        return self


def copied(state: FilterState) -> FilterState:
    """Return a copy that later steps leave as it is, made on the current stream."""
    gauge = GaugeState(*(plane.clone() for plane in state.gauge))
    return replace(state, depth=state.depth.clone(), count=state.count.clone(), gauge=gauge)


def smoother_for(config: TemporalConfig | None, model: DepthModel, backend: Backend) -> Smoother | None:
    """Return what smooths the depth of ``model``, or None where nothing does."""
    if config is None or config.cuts_only or model.info.temporal:
        return None
    return Smoother(config, model.device, on_device=backend.asynchronous)
