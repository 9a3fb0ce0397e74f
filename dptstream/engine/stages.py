"""The steps a slot goes through on the device. Each submits work to one stream and returns."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DeviceError
from ..models.base import DepthModel
from .backend import Backend
from .slots import Slot
from .yuv import rgb_from_yuv


def upload(slot: Slot, backend: Backend) -> None:
    """Copy the picture, and what goes with it, to the device; nothing to do where host and device share memory."""
    pairs = [(slot.host_motion, slot.motion), (slot.host_numbers, slot.numbers)]
    if not slot.on_device:
        pairs.append((slot.host_input, slot.device_input))
    for host, device in pairs:
        if device is not host:
            # The pinned source is rewritten only after this slot's download was waited for.
            backend.upload.run(partial(device.copy_, host, non_blocking=backend.asynchronous))
    backend.upload.record(slot.uploaded)


def infer(slot: Slot, backend: Backend, model: DepthModel, *, size: int | None) -> None:
    """Preprocess and run the network on the compute stream, allocating as it goes; see ``Estimator`` for cards."""

    def work() -> None:
        depth_nhw = model(_network_input(slot, model, size))
        slot.output_like(depth_nhw).copy_(depth_nhw)

    backend.compute.wait(slot.uploaded)
    with explained_memory(slot, backend.device):
        backend.compute.run(work)
    backend.compute.record(slot.inferred)


def preprocess(slot: Slot, backend: Backend, model: DepthModel, *, size: int | None) -> Tensor:
    """Preprocess alone: the slot's picture -> (1, 3, h, w), and wait until the picture is no longer needed."""
    images: list[Tensor] = []
    backend.compute.wait(slot.uploaded)
    with explained_memory(slot, backend.device):
        backend.compute.run(lambda: images.append(_network_input(slot, model, size)))
    backend.compute.record(slot.inferred)
    slot.inferred.synchronize()
    return images[0]


def again(slot: Slot, model: DepthModel, *, size: int | None) -> NDArray[np.float32]:
    """Run the network once more on a slot that has been downloaded, waiting for it: (h, w) on the host."""
    with torch.no_grad(), explained_memory(slot, model.device):
        depth_hw: NDArray[np.float32] = model(_network_input(slot, model, size))[0].cpu().numpy()
        return depth_hw


def _network_input(slot: Slot, model: DepthModel, size: int | None) -> Tensor:
    pictures = slot.device_input[None]
    rgb_bhwc = pictures if slot.form is None else rgb_from_yuv(pictures, slot.form)
    return model.preprocess(rgb_bhwc, model.input_size_hw(slot.picture_hw, size=size))


@contextmanager
def explained_memory(slot: Slot, device: torch.device) -> Iterator[None]:
    """Say what to do when the device runs out of memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        height, width = slot.picture_hw
        raise DeviceError(
            f"out of memory on {device} for a picture of {width}x{height}: use a smaller --size or a smaller --model"
        ) from error


def download(slot: Slot, backend: Backend) -> None:
    """Copy the depth to the host; nothing to do where host and device share memory."""

    def work() -> None:
        if slot.device_output is not slot.host_output:
            slot.host_output.copy_(slot.device_output, non_blocking=backend.asynchronous)

    backend.download.wait(slot.inferred)
    backend.download.run(work)
    backend.download.record(slot.downloaded)
