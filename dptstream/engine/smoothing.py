"""The smoothing stage: a temporal filter for one feed, what it remembers, and how much flicker it removed."""

import struct
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import DepthFrame
from ..geometry import DepthKind
from ..models.base import DepthModel
from ..temporal import CausalFilter, DeviceFilter, FilterState, FlickerMeter, FlickerScore, MotionFinder, TemporalConfig
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
    they are smoothed where they are (``smooth_on_device``), with the motion that was found while decoding.
    """

    def __init__(self, config: TemporalConfig, device: torch.device, *, on_device: bool) -> None:
        self._device = device
        self._host_filter = None if on_device else CausalFilter(config)
        self._device_filter = DeviceFilter(config) if on_device else None
        self._motion = MotionFinder(config) if on_device else None
        self._state: FilterState | None = None
        self._meter = FlickerMeter()

    @property
    def on_device(self) -> bool:
        """Whether ``smooth_on_device`` is the one to call."""
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

    def smooth_on_device(
        self, depth_hw: Tensor, kind: DepthKind, pts_seconds: float, motion_3hw: Tensor, *, fresh: bool
    ) -> Tensor:
        """Return the smoothed depth, on the current stream; ``fresh`` begins anew."""
        assert self._device_filter is not None
        smoothed, self._state = self._device_filter.step(
            depth_hw, kind, pts_seconds, self._state, flow=motion_3hw[:2], confidence=motion_3hw[2], fresh=fresh
        )
        return smoothed

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
        self._meter = FlickerMeter.restore(meter_blob)
        return self


def smoother_for(config: TemporalConfig | None, model: DepthModel, backend: Backend) -> Smoother | None:
    """Return what smooths the depth of ``model``, or None where nothing does."""
    if config is None or config.cuts_only or model.info.temporal:
        return None
    return Smoother(config, model.device, on_device=backend.asynchronous)
