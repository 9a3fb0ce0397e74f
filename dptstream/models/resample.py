"""Resizing of pictures exactly as OpenCV does it, on any device. Knows no model and no recipe."""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

KEPT_TABLES = 512
"""Tables kept per kind; far more than a program meets, since a captured CUDA graph reads them where they are."""


def resize_cubic(rgb_bhwc: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize pictures with the cubic kernel of OpenCV (a = -0.75), without antialiasing.

    Args:
        rgb_bhwc: (B, H, W, 3) uint8 on any device.
        size_hw: Height and width of the result.

    Returns:
        (B, h, w, 3) float32 on the scale of the input; the kernel may overshoot 0..255 and is not clipped.
    """
    if tuple(rgb_bhwc.shape[1:3]) == tuple(size_hw):
        return rgb_bhwc.float()
    if rgb_bhwc.device.type == "cpu":
        # OpenCV is four times as fast as torch here, and the reference itself.
        pictures = [
            cv2.resize(rgb_hwc.numpy().astype(np.float32), (size_hw[1], size_hw[0]), interpolation=cv2.INTER_CUBIC)
            for rgb_hwc in rgb_bhwc
        ]
        return torch.from_numpy(np.stack(pictures)) if len(pictures) > 1 else torch.from_numpy(pictures[0])[None]
    return cubic_by_taps(rgb_bhwc, size_hw)


def resize_cubic_quickly(rgb_bhwc: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize pictures with the same kernel in one operation, whose positions are rounded to float32.

    Off by 0.03 of 255 at most, where ``resize_cubic`` is exact: less than float16 rounds a normalised picture by.

    Args:
        rgb_bhwc: (B, H, W, 3) uint8 on any device.
        size_hw: Height and width of the result.

    Returns:
        (B, 3, h, w) float32 on the scale of the input, not clipped.
    """
    images_bchw = rgb_bhwc.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    if tuple(images_bchw.shape[2:]) == tuple(size_hw):
        return images_bchw
    return F.interpolate(images_bchw, size_hw, mode="bicubic", align_corners=False)


def resize_uint8(rgb_bhwc: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize pictures as OpenCV resizes bytes: by area where no side grows, with the cubic kernel elsewhere.

    Args:
        rgb_bhwc: (B, H, W, 3) uint8 on any device.
        size_hw: Height and width of the result.

    Returns:
        (B, h, w, 3) uint8; away from the CPU a value may differ from OpenCV's by one.
    """
    height, width = rgb_bhwc.shape[1:3]
    if (height, width) == tuple(size_hw):
        return rgb_bhwc
    shrinking = size_hw[0] <= height and size_hw[1] <= width
    if rgb_bhwc.device.type == "cpu":
        method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
        pictures = [cv2.resize(rgb.numpy(), (size_hw[1], size_hw[0]), interpolation=method) for rgb in rgb_bhwc]
        return torch.from_numpy(np.stack(pictures))
    resized = area_by_weights(rgb_bhwc, size_hw) if shrinking else cubic_by_taps(rgb_bhwc, size_hw)
    return resized.round().clamp(0, 255).to(torch.uint8)


def cubic_by_taps(images_bhwc: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize with the cubic kernel by tensor operations that every device has: (B, H, W, C) -> (B, h, w, C) float32."""
    return _cubic_axis(_cubic_axis(images_bhwc, 1, size_hw[0]), 2, size_hw[1])


def area_by_weights(images_bhwc: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Shrink by averaging the covered area, on every device: (B, H, W, C) -> (B, h, w, C) float32."""
    return _area_axis(_area_axis(images_bhwc.float(), 1, size_hw[0]), 2, size_hw[1])


def cubic_taps(length: int, new_length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the four source positions and weights of each place of a resized line: two (new_length, 4) arrays."""
    centres = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    first = np.floor(centres)
    t = centres - first
    a = -0.75
    outer_left = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    inner_left = ((a + 2) * t - (a + 3)) * t * t + 1
    inner_right = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) ** 2 + 1
    weights = np.stack([outer_left, inner_left, inner_right, 1 - outer_left - inner_left - inner_right], axis=1)
    positions = np.clip(first[:, None].astype(np.int64) + np.arange(-1, 3), 0, length - 1)
    return positions, weights


def area_weights(length: int, new_length: int) -> NDArray[np.float64]:
    """Return the (new_length, length) share of each source pixel in each place of a shrunk line."""
    scale = length / new_length
    edges = np.arange(new_length + 1) * scale
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: NDArray[np.float64] = np.clip(covered, 0, None) / scale
    return shares


def _cubic_axis(images: Tensor, axis: int, new_length: int) -> Tensor:
    if images.shape[axis] == new_length:
        return images.float()
    shape = [1] * images.ndim
    shape[axis] = new_length
    total: Tensor | None = None
    for positions, weights in _cubic_table(images.shape[axis], new_length, images.device):
        part = images.index_select(axis, positions).float() * weights.view(shape)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _area_axis(images: Tensor, axis: int, new_length: int) -> Tensor:
    weights = _area_table(images.shape[axis], new_length, images.device)
    shrunk: Tensor = torch.tensordot(images, weights, dims=([axis], [1])).movedim(-1, axis)
    return shrunk


# Weights are worked out in double precision on the host: a float32 position near 2000 is off by 1e-4 of a pixel.
@lru_cache(KEPT_TABLES)
def _cubic_table(length: int, new_length: int, device: torch.device) -> tuple[tuple[Tensor, Tensor], ...]:
    positions, weights = cubic_taps(length, new_length)
    return tuple(
        (torch.from_numpy(positions[:, tap].copy()).to(device), torch.from_numpy(weights[:, tap]).float().to(device))
        for tap in range(4)
    )


@lru_cache(KEPT_TABLES)
def _area_table(length: int, new_length: int, device: torch.device) -> Tensor:
    return torch.from_numpy(area_weights(length, new_length)).float().to(device)
