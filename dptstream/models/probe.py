"""The picture that other ways of running a network are checked with, and how far they may be off. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Difference:
    """How far depth is from what it should be, in standard deviations of the latter over the picture."""

    mean: float
    """Mean absolute difference."""
    largest: float
    """Largest absolute difference."""


def probe_picture(size_hw: tuple[int, int]) -> Tensor:
    """Return a picture (1, 3, H, W) with structure of every size, about as bright as a normalised photograph."""
    random = torch.Generator().manual_seed(0)
    picture = torch.zeros(1, 3, *size_hw)
    for cells in (2, 6, 18):
        coarse = torch.randn(1, 3, cells, cells, generator=random)
        picture += F.interpolate(coarse, size_hw, mode="bicubic", align_corners=False)
    return picture / 2 + torch.randn(picture.shape, generator=random) / 10


def difference(actual_bhw: Tensor, expected_bhw: Tensor) -> Difference:
    """Compare depth of the probe picture; depth of another shape is infinitely far, and a NaN gives NaN."""
    if actual_bhw.shape != expected_bhw.shape:
        return Difference(float("inf"), float("inf"))
    scale = expected_bhw.std().clamp(min=1e-6 * float(expected_bhw.abs().max()) + 1e-12)
    error_bhw = (actual_bhw - expected_bhw).abs() / scale
    return Difference(float(error_bhw.mean()), float(error_bhw.max()))
