"""The few operations on planes of numbers that smoothing needs, once for numpy and OpenCV, once for torch.

The filter is written against these, so that the CPU and the GPU run one algorithm. Nothing here waits for a device.
"""

from types import ModuleType
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F

Plane = Any
"""A numpy array or a torch tensor, float32; (h, w), or 0-d for single numbers. The operations decide which."""

SUBPIXELS = 32
"""Motion is rounded to 1/32 pixel: OpenCV resolves no more, and what stands still is then carried unchanged."""


class PlaneOps(Protocol):
    """What a library of planes must offer beyond the operations that numpy and torch share by name."""

    xp: ModuleType
    """``numpy`` or ``torch``."""

    def resize(self, plane: Plane, size_hw: tuple[int, int]) -> Plane:
        """Resize (h, w) bilinearly, pixel centres aligned."""

    def carry(self, plane: Plane, x: Plane, y: Plane, *, outside_zero: bool) -> Plane:
        """Sample ``plane`` at pixel coordinates ``x``, ``y``; outside lies zero, or the border's value."""

    def box(self, plane: Plane, size: int) -> Plane:
        """Average over ``size`` x ``size`` neighbourhoods, the border's value outside."""

    def local_range(self, plane: Plane) -> tuple[Plane, Plane]:
        """Return the least and greatest value of each 5 x 5 neighbourhood."""

    def ranks(self, samples: Plane, shares: tuple[float, ...]) -> Plane:
        """Return the values below which these shares of the (n,) samples lie, to the nearest sample."""

    def held(self, plane: Plane, limit: Plane) -> Plane:
        """Return the values held between 0 and ``limit``, a number or a 0-d plane."""

    def coordinates(self, like: Plane) -> tuple[Plane, Plane]:
        """Return the x and y of each pixel of ``like``, broadcastable to (h, w)."""


class NumpyOps:
    """Planes as numpy arrays; OpenCV does the neighbourhoods."""

    xp: ModuleType = np

    def resize(self, plane: Plane, size_hw: tuple[int, int]) -> Plane:
        """Resize (h, w) bilinearly, pixel centres aligned."""
        return cv2.resize(plane, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)

    def carry(self, plane: Plane, x: Plane, y: Plane, *, outside_zero: bool) -> Plane:
        """Sample ``plane`` at pixel coordinates ``x``, ``y``; outside lies zero, or the border's value."""
        border = cv2.BORDER_CONSTANT if outside_zero else cv2.BORDER_REPLICATE
        return cv2.remap(plane, x, y, cv2.INTER_LINEAR, None, border, 0)

    def box(self, plane: Plane, size: int) -> Plane:
        """Average over ``size`` x ``size`` neighbourhoods, the border's value outside."""
        return cv2.blur(plane, (size, size), borderType=cv2.BORDER_REPLICATE)

    def local_range(self, plane: Plane) -> tuple[Plane, Plane]:
        """Return the least and greatest value of each 5 x 5 neighbourhood."""
        kernel = np.ones((5, 5), np.uint8)
        return cv2.erode(plane, kernel), cv2.dilate(plane, kernel)

    def ranks(self, samples: Plane, shares: tuple[float, ...]) -> Plane:
        """Return the values below which these shares of the (n,) samples lie, to the nearest sample."""
        places = [round(share * (samples.size - 1)) for share in shares]
        return np.partition(samples, places)[places]

    def held(self, plane: Plane, limit: Plane) -> Plane:
        """Return the values held between 0 and ``limit``, a number or a 0-d plane."""
        return np.clip(plane, 0, limit)

    def coordinates(self, like: Plane) -> tuple[Plane, Plane]:
        """Return the x and y of each pixel of ``like``, broadcastable to (h, w)."""
        height, width = like.shape
        return np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]


class TorchOps:
    """Planes as tensors on any device; every operation is put on the current CUDA stream and none waits."""

    xp: ModuleType = torch

    def resize(self, plane: Plane, size_hw: tuple[int, int]) -> Plane:
        """Resize (h, w) bilinearly, pixel centres aligned."""
        return F.interpolate(plane[None, None], size_hw, mode="bilinear", align_corners=False)[0, 0]

    def carry(self, plane: Plane, x: Plane, y: Plane, *, outside_zero: bool) -> Plane:
        """Sample ``plane`` at pixel coordinates ``x``, ``y``; outside lies zero, or the border's value."""
        height, width = plane.shape
        # grid_sample counts from -1 to 1 between the outer edges of the outer pixels.
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
        padding = "zeros" if outside_zero else "border"
        return F.grid_sample(plane[None, None], grid[None], "bilinear", padding, align_corners=False)[0, 0]

    def box(self, plane: Plane, size: int) -> Plane:
        """Average over ``size`` x ``size`` neighbourhoods, the border's value outside."""
        padded = F.pad(plane[None, None], (size // 2,) * 4, mode="replicate")
        return F.avg_pool2d(padded, size, stride=1)[0, 0]

    def local_range(self, plane: Plane) -> tuple[Plane, Plane]:
        """Return the least and greatest value of each 5 x 5 neighbourhood."""
        stacked = torch.stack([-plane, plane])[None]
        least, greatest = F.max_pool2d(stacked, 5, stride=1, padding=2)[0]
        return -least, greatest

    def ranks(self, samples: Plane, shares: tuple[float, ...]) -> Plane:
        """Return the values below which these shares of the (n,) samples lie, to the nearest sample."""
        ordered = torch.sort(samples).values
        # Indexed one by one: a list of indices would have to be copied to the device, which waits.
        return torch.stack([ordered[round(share * (samples.numel() - 1))] for share in shares])

    def held(self, plane: Plane, limit: Plane) -> Plane:
        """Return the values held between 0 and ``limit``, a number or a 0-d plane."""
        if isinstance(limit, torch.Tensor):
            return torch.minimum(torch.clamp(plane, min=0), limit)
        return torch.clamp(plane, 0, limit)

    def coordinates(self, like: Plane) -> tuple[Plane, Plane]:
        """Return the x and y of each pixel of ``like``, broadcastable to (h, w)."""
        height, width = like.shape
        x = torch.arange(width, dtype=torch.float32, device=like.device)[None, :]
        return x, torch.arange(height, dtype=torch.float32, device=like.device)[:, None]
