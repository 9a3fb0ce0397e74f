"""Slots: the preallocated buffer sets that frames travel in, and the rules of their reuse."""

import threading
from enum import Enum, auto

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import VideoFrame
from ..temporal import FilterState
from .backend import Backend

POISON_BYTE = 0xAB
"""What freed input buffers are filled with when races are being looked for."""


class SlotState(Enum):
    """Where a slot is on its way; see ``NEXT_STATE``."""

    FREE = auto()
    FILLING = auto()
    FILLED = auto()
    COMPUTING = auto()
    DOWNLOADING = auto()
    READY = auto()


NEXT_STATE = {
    SlotState.FREE: SlotState.FILLING,
    SlotState.FILLING: SlotState.FILLED,
    SlotState.FILLED: SlotState.COMPUTING,
    SlotState.COMPUTING: SlotState.DOWNLOADING,
    SlotState.DOWNLOADING: SlotState.READY,
    SlotState.READY: SlotState.FREE,
}
"""The only way round: a slot that takes any other step is being used by two owners at once."""


class Slot:
    """One set of buffers and events. Exactly one thread owns it at a time.

    A slot becomes FREE only after its download was waited for, which also ends its upload and its
    inference: so whoever fills it next can rewrite every buffer without asking the device.

    Attributes:
        index: The slot's number, for messages.
        frame: The picture inside, from FILLING to READY.
        host_input: (H, W, 3) uint8, pinned where the device copies from it.
        device_input: The device's twin of ``host_input``.
        motion: (3, hs, ws) float32 flow and confidence since the picture before, where smoothing runs on the device.
        state_before: What the filter remembered before this frame, where smoothing runs on the device.
        device_output: (1, h, w) float32 depth on the device; (2, h, w) where it is smoothed there, the network's own first.
        host_output: The host's twin of ``device_output``.
        uploaded: Recorded on the upload stream, waited for by the compute stream.
        inferred: Recorded on the compute stream, waited for by the download stream.
        downloaded: Recorded on the download stream, waited for by the thread that writes.
    """

    def __init__(self, index: int, backend: Backend, *, poison: bool = False) -> None:
        self.index = index
        self.frame: VideoFrame | None = None
        self.host_input = torch.empty(0, dtype=torch.uint8)
        self.device_input = self.host_input
        self.host_motion = torch.empty(0)
        self.motion = self.host_motion
        self.state_before: FilterState | None = None
        self.device_output = torch.empty(0)
        self.host_output = self.device_output
        self.uploaded = backend.event()
        self.inferred = backend.event()
        self.downloaded = backend.event()
        self._backend = backend
        self._poison = poison
        self._state = SlotState.FREE
        self._moved = threading.Condition()

    @property
    def state(self) -> SlotState:
        """Where the slot is on its way."""
        return self._state

    def advance(self, state: SlotState) -> None:
        """Take the next step, which must be ``state``; anything else is a bug of the engine."""
        with self._moved:
            if NEXT_STATE[self._state] is not state:
                raise RuntimeError(f"slot {self.index} cannot go from {self._state.name} to {state.name}")
            self._state = state
            self._moved.notify_all()

    def wait_until(self, state: SlotState, cancelled: threading.Event) -> bool:
        """Block until the slot is in ``state``; return False when ``cancelled`` is set first."""
        with self._moved:
            while self._state is not state:
                if cancelled.is_set():
                    return False
                self._moved.wait(0.05)
        return True

    def fill(self, frame: VideoFrame) -> None:
        """Copy a picture in; buffers are made anew only when its size differs from the last one's."""
        if tuple(self.host_input.shape) != frame.image.shape:
            self.host_input = self._backend.host_buffer(frame.image.shape, torch.uint8)
            self.device_input = self._backend.device_buffer(self.host_input)
        self.host_input.numpy()[...] = frame.image
        self.frame = frame

    def fill_motion(self, motion_3hw: NDArray[np.float32]) -> None:
        """Copy in the motion since the picture before."""
        if tuple(self.host_motion.shape) != motion_3hw.shape:
            self.host_motion = self._backend.host_buffer(motion_3hw.shape, torch.float32)
            self.motion = self._backend.device_buffer(self.host_motion)
        self.host_motion.numpy()[...] = motion_3hw

    def load(self, frame: VideoFrame, motion_3hw: NDArray[np.float32] | None) -> None:
        """Copy a picture, and its motion if there is any, into the slot, which must be FREE and becomes FILLED."""
        self.advance(SlotState.FILLING)
        self.fill(frame)
        if motion_3hw is not None:
            self.fill_motion(motion_3hw)
        self.advance(SlotState.FILLED)

    def output_like(self, depth_nhw: Tensor) -> Tensor:
        """Return ``device_output``, made anew only when the depth's size differs from the last one's."""
        if self.device_output.shape != depth_nhw.shape:
            self.host_output = self._backend.host_buffer(tuple(depth_nhw.shape), torch.float32)
            self.device_output = self._backend.device_buffer(self.host_output)
        return self.device_output

    def release(self) -> None:
        """Forget the picture and become FREE; READY slots only."""
        self.frame = None
        self.state_before = None
        if self._poison:
            self.host_input.fill_(POISON_BYTE)
            self.host_output.fill_(float("nan"))
        self.advance(SlotState.FREE)
