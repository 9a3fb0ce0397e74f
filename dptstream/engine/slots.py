"""Slots: the preallocated buffer sets that frames travel in, and the rules of their reuse."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum, auto

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import VideoFrame, YuvForm, YuvPicture
from ..temporal import FilterState
from .backend import Backend
from .channel import Channel
from .smoothing import copied

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
        picture_hw: Height and width of the picture.
        form: How the picture is stored, where it is not RGB.
        host_input: (H, W, 3) uint8, or the planes of ``form`` in a row; pinned where the device copies from it.
        device_input: The device's twin of ``host_input``.
        on_device: Whether the picture came from the card's own decoder, so that ``host_input`` holds nothing.
        motion: (3, hs, ws) float32 flow and confidence since the picture before, where smoothing runs on the device.
        numbers: What ``Smoother.begin`` says of the frame, float32, where smoothing runs on the device.
        state_before: What the filter remembered before this frame, where somebody wants it.
        device_output: (1, h, w) depth on the device, float32 or the published float16; (2, h, w) where it is smoothed there,
            the network's own first.
        host_output: The host's twin of ``device_output``.
        uploaded: Recorded on the upload stream, waited for by the compute stream.
        inferred: Recorded on the compute stream, waited for by the download stream.
        downloaded: Recorded on the download stream, waited for by the thread that writes.
    """

    def __init__(self, index: int, backend: Backend, *, poison: bool = False) -> None:
        self.index = index
        self.frame: VideoFrame | None = None
        self.picture_hw = (0, 0)
        self.form: YuvForm | None = None
        self.host_input = torch.empty(0, dtype=torch.uint8)
        self.device_input = self.host_input
        self.on_device = False
        self.host_motion = torch.empty(0)
        self.motion = self.host_motion
        self.host_numbers = torch.empty(0)
        self.numbers = self.host_numbers
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
        """Copy a picture in; buffers are made anew only when its size or form differs from the last one's.

        A device that runs by itself gets the picture as the decoder stores it, where there is that: half the bytes of
        RGB. One that the card's own decoder made is copied on the card, and waited for, as the decoder needs its memory.
        """
        native = frame.native if self._backend.asynchronous else None
        shape = frame.image.shape if native is None else (native.form.byte_count,)
        if tuple(self.host_input.shape) != shape:
            self.host_input = self._backend.host_buffer(shape, torch.uint8)
            self.device_input = self._backend.device_buffer(self.host_input)
        self.picture_hw = (frame.height, frame.width)
        self.form = native.form if native is not None else None
        self.on_device = native is not None and native.luma.is_cuda
        if native is None:
            self.host_input.numpy()[...] = frame.image
        elif self.on_device:
            self._take_from_decoder(native)
        else:
            native.copy_to(self.host_input)
        # What travels on with the depth must not hold the decoder's memory.
        self.frame = frame if frame.native is None else replace(frame, native=None)

    def _take_from_decoder(self, picture: YuvPicture) -> None:
        backend = self._backend
        backend.wait_for_decoder()
        backend.upload.run(lambda: picture.copy_to(self.device_input, non_blocking=True))
        backend.upload.record(self.uploaded)
        self.uploaded.synchronize()

    def fill_motion(self, motion_3hw: NDArray[np.float32]) -> None:
        """Copy in the motion since the picture before."""
        self.host_motion, self.motion = self._filled(self.host_motion, self.motion, motion_3hw)

    def fill_numbers(self, numbers: NDArray[np.float32]) -> None:
        """Copy in what the host knows of the frame's smoothing."""
        self.host_numbers, self.numbers = self._filled(self.host_numbers, self.numbers, numbers)

    def _filled(self, host: Tensor, device: Tensor, values: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        if tuple(host.shape) != values.shape:
            host = self._backend.host_buffer(values.shape, torch.float32)
            device = self._backend.device_buffer(host)
        host.numpy()[...] = values
        return host, device

    def keep_state(self, state: FilterState) -> None:
        """Keep a copy of what the filter remembers, made on the current stream."""
        self.state_before = copied(state)

    def goes_with(self, other: "Slot") -> bool:
        """Whether both pictures can go through the network together."""
        return (self.form, self.device_input.shape, self.motion.shape) == (
            other.form,
            other.device_input.shape,
            other.motion.shape,
        )

    def load(self, frame: VideoFrame, motion_3hw: NDArray[np.float32] | None) -> None:
        """Copy a picture, and its motion if there is any, into the slot, which must be FREE and becomes FILLED."""
        self.advance(SlotState.FILLING)
        self.fill(frame)
        if motion_3hw is not None:
            self.fill_motion(motion_3hw)
        self.advance(SlotState.FILLED)

    def output_like(self, depth_nhw: Tensor) -> Tensor:
        """Return ``device_output``, made anew only when the depth's size or type differs from the last one's."""
        if self.device_output.shape != depth_nhw.shape or self.device_output.dtype != depth_nhw.dtype:
            self.host_output = self._backend.host_buffer(tuple(depth_nhw.shape), depth_nhw.dtype)
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


def frame_in(slot: Slot) -> VideoFrame:
    """Return the picture of a slot that has one."""
    assert slot.frame is not None
    return slot.frame


def in_batches(slots: Channel[Slot], most: int, begins: Callable[[Slot], bool]) -> Iterator[list[Slot]]:
    """Yield slots of one form in order, ``most`` together, waiting for as many; fewer where ``begins`` or the end says so."""
    batch: list[Slot] = []
    for slot in slots:
        if batch and (begins(slot) or not batch[0].goes_with(slot)):
            yield batch
            batch = []
        batch.append(slot)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch
