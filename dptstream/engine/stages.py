"""The steps a slot goes through on the device. Each submits work to one stream and returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from ..errors import DeviceError
from ..models.base import DepthModel
from .backend import Backend
from .slots import Slot
from .smoothing import Smoother


def upload(slot: Slot, backend: Backend) -> None:
    """Copy the picture, and its motion, to the device; nothing to do where host and device share memory."""
    for host, device in ((slot.host_input, slot.device_input), (slot.host_motion, slot.motion)):
        if device is not host:
            # The pinned source is rewritten only after this slot's download was waited for.
            backend.upload.run(partial(device.copy_, host, non_blocking=backend.asynchronous))
    backend.upload.record(slot.uploaded)


def infer(
    slot: Slot, backend: Backend, model: DepthModel, *, size: int | None, smoother: Smoother | None, fresh: bool
) -> None:
    """Preprocess, run the network and, on a device that runs by itself, smooth: all on the compute stream."""
    frame = slot.frame
    assert frame is not None

    def work() -> None:
        depth_nhw = model(_network_input(slot, model, size))
        if smoother is not None and smoother.on_device:
            slot.state_before = smoother.state
            begins_anew = fresh or frame.discontinuity
            smoothed_hw = smoother.smooth_on_device(
                depth_nhw[0], model.info.kind, frame.pts_seconds, slot.motion, fresh=begins_anew
            )
            depth_nhw = torch.stack((depth_nhw[0], smoothed_hw))
        slot.output_like(depth_nhw).copy_(depth_nhw)

    backend.compute.wait(slot.uploaded)
    with explained_memory(slot, backend):
        backend.compute.run(work)
    backend.compute.record(slot.inferred)


def preprocess(slot: Slot, backend: Backend, model: DepthModel, *, size: int | None) -> Tensor:
    """Preprocess alone: uint8 picture -> (1, 3, h, w), and wait until the slot's picture is no longer needed."""
    images: list[Tensor] = []
    backend.compute.wait(slot.uploaded)
    with explained_memory(slot, backend):
        backend.compute.run(lambda: images.append(_network_input(slot, model, size)))
    backend.compute.record(slot.inferred)
    slot.inferred.synchronize()
    return images[0]


def _network_input(slot: Slot, model: DepthModel, size: int | None) -> Tensor:
    height, width, _ = slot.device_input.shape
    return model.preprocess(slot.device_input[None], model.input_size_hw((height, width), size=size))


@contextmanager
def explained_memory(slot: Slot, backend: Backend) -> Iterator[None]:
    """Say what to do when the device runs out of memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"out of memory on {backend.device} for a picture of {slot.host_input.shape[1]}x{slot.host_input.shape[0]}: "
            "use a smaller --size or a smaller --model"
        ) from error


def download(slot: Slot, backend: Backend) -> None:
    """Copy the depth to the host; nothing to do where host and device share memory."""

    def work() -> None:
        if slot.device_output is not slot.host_output:
            slot.host_output.copy_(slot.device_output, non_blocking=backend.asynchronous)

    backend.download.wait(slot.inferred)
    backend.download.run(work)
    backend.download.record(slot.downloaded)
