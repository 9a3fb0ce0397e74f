"""How busy and how full a GPU is, as its driver says. Waits for nothing that runs there."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class GpuUse:
    """A moment of a GPU's life."""

    device: str
    """Torch's name for it, such as ``cuda:0``."""
    utilization: float | None
    """Share of the last moments, 0..1, in which anything was computed there, by whomever; None where nobody says."""
    memory_used_bytes: int
    """Memory in use, by all programs together."""
    memory_own_bytes: int
    """What this program holds of it for tensors."""
    memory_total_bytes: int
    """All the memory there is."""


def gpu_use(device: torch.device) -> GpuUse | None:
    """Return how ``device`` is used; None for what is no GPU of CUDA's kind, or does not answer."""
    if device.type != "cuda":
        return None
    try:
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device)
    except RuntimeError:
        return None  # it broke down; whoever computes there says so
    return GpuUse(str(device), _utilization(device), total - free, own, total)


def _utilization(device: torch.device) -> float | None:
    try:
        return torch.cuda.utilization(device) / 100
    except Exception:  # noqa: BLE001 - torch asks pynvml or amdsmi: each has errors of its own, and either may be missing
        return None
