"""Which device and precision to use. The only place that asks what the machine has."""

import os

import torch

from ..errors import DeviceError

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Names of precisions on the command line."""


def choose_device(wanted: str = "auto") -> torch.device:
    """Return the device to run on.

    Args:
        wanted: ``auto`` (CUDA, then Apple's MPS, then the CPU), or a name such as ``cuda:1``.

    Raises:
        DeviceError: The device is not there.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise DeviceError(f"unknown device {wanted!r}: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise DeviceError(
            f"{wanted} was asked for, but PyTorch {torch.__version__} finds {found} CUDA device(s) here: "
            "use --device cpu, or see `dptstream doctor`"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps was asked for, but this machine has no Apple GPU: use --device auto or cpu")
    if device.type not in {"cpu", "cuda", "mps"}:
        raise DeviceError(f"device {wanted!r} is not supported: use auto, cpu, cuda, cuda:N or mps")
    return device


def choose_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """Return the precision to run in: float16 on a GPU, float32 on the CPU, unless one is asked for.

    Raises:
        DeviceError: The name is unknown.
    """
    if wanted == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    if wanted not in PRECISIONS:
        raise DeviceError(f"unknown precision {wanted!r}: use auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[wanted]


def cpu_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
