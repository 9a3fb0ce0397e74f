"""From a picture to a network's input, by its authors' recipe: which size, which kernel, which normalisation."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import ModelInfo, ResizeMethod
from .resample import resize_cubic, resize_cubic_quickly, resize_uint8

Fit = Literal["aspect", "stretch", "pad"]
"""Keep the aspect to the nearest multiple; stretch to a square; keep it exactly and replicate the edge."""

Rgb = tuple[float, float, float]

LONGEST_SIDE = 16384
"""Pixels; a picture so thin that its network size would be longer is refused."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """A user's choices beside the authors' recipe. The default changes nothing."""

    size: int | None = None
    """Replaces the family's base size, pixels."""
    fit: Fit | None = None
    """How a picture meets the network's shape; None is the authors' own way (``aspect``, for SwinV2 ``stretch``)."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(f"size is {self.size}; it must be a positive number of pixels")
        if self.fit not in (None, "aspect", "stretch", "pad"):
            raise ValueError(f"fit is {self.fit!r}; allowed: aspect, stretch, pad")


AS_AUTHORS = Preprocessing()
"""The authors' recipe, unchanged."""


def input_size_hw(picture_hw: tuple[int, int], info: ModelInfo, choices: Preprocessing = AS_AUTHORS) -> tuple[int, int]:
    """Return the (height, width) a picture is resized to for a network.

    With ``pad`` the sides are no multiples: ``pad_to_multiple`` makes them so.

    Raises:
        ValueError: The picture is empty, or so thin that no sensible size exists.
    """
    height, width = picture_hw
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width}x{height} pixels has no depth; both sides must be at least 1")
    multiple = info.size_multiple
    size = choices.size or info.base_size
    ratio = max(picture_hw) / min(picture_hw)
    if info.narrow_beyond and ratio > info.narrow_beyond:
        # Video Depth Anything keeps the number of tokens of a 16:9 picture; 1.777 is the authors' number.
        size = max(multiple, round(int(size * 1.777 / ratio) / multiple) * multiple)
    if choices.fit == "pad":
        method: ResizeMethod = "upper_bound" if info.resize_method == "stretch" else info.resize_method
        scale = _scale(picture_hw, size, method)
        size_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    else:
        size_hw = _rounded_size(picture_hw, size, _method(info, choices.fit), multiple)
    if max(size_hw) > LONGEST_SIDE:
        raise ValueError(
            f"a picture of {width}x{height} would need a network input of {size_hw[1]}x{size_hw[0]}, more than "
            f"{LONGEST_SIDE} pixels: crop it, or choose a smaller size or fit 'stretch'"
        )
    return size_hw


def preprocess(rgb_bhwc: Tensor, input_hw: tuple[int, int], info: ModelInfo, dtype: torch.dtype) -> Tensor:
    """Resize and normalise by the authors' recipe, on the device the pictures are on.

    Args:
        rgb_bhwc: (B, H, W, 3) uint8 RGB.
        input_hw: Height and width of the result.
        info: Whose recipe.
        dtype: Precision of the result; the work is done in float32, on a CUDA device to within what ``dtype`` rounds by.

    Returns:
        (B, 3, h, w), contiguous.
    """
    if rgb_bhwc.ndim != 4 or rgb_bhwc.shape[3] != 3 or rgb_bhwc.dtype != torch.uint8:
        raise ValueError(f"pictures must be (B, H, W, 3) uint8; got {tuple(rgb_bhwc.shape)} {rgb_bhwc.dtype}")
    if info.resize_method == "upper_bound":
        resized_bhwc = _resize_in_two_steps(rgb_bhwc, input_hw, info.size_multiple).float()
    elif dtype in (torch.float16, torch.bfloat16) and rgb_bhwc.device.type == "cuda":
        # Two dozen exact operations take as long as a tenth of a small network, for digits that are rounded away.
        scale, shift = _normalisation(info.image_mean, info.image_std, rgb_bhwc.device)
        return torch.addcmul(shift, resize_cubic_quickly(rgb_bhwc, input_hw), scale).to(dtype)
    else:
        resized_bhwc = resize_cubic(rgb_bhwc, input_hw)
    images_bchw = torch.empty((rgb_bhwc.shape[0], 3, *input_hw), device=rgb_bhwc.device)
    for channel, (mean, std) in enumerate(zip(info.image_mean, info.image_std, strict=True)):
        torch.mul(resized_bhwc[..., channel], 1 / (255 * std), out=images_bchw[:, channel]).sub_(mean / std)
    return images_bchw.to(dtype)


@lru_cache
def _normalisation(mean: Rgb, std: Rgb, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the factor of bytes and what is added then, each (1, 3, 1, 1) float32."""
    scale = [1 / (255 * deviation) for deviation in std]
    shift = [-centre / deviation for centre, deviation in zip(mean, std, strict=True)]
    return torch.tensor(scale, device=device).view(1, 3, 1, 1), torch.tensor(shift, device=device).view(1, 3, 1, 1)


def pad_to_multiple(images_bchw: Tensor, info: ModelInfo) -> tuple[Tensor, tuple[int, int]]:
    """Replicate the edges until the network accepts the pictures; return them and the (top, left) of the original.

    Networks that their authors run at a square get a square.
    """
    height, width = images_bchw.shape[-2:]
    side = max(height, width) if info.resize_method == "stretch" else 0
    target_h, target_w = (_ceil(max(length, side), info.size_multiple) for length in (height, width))
    top, left = (target_h - height) // 2, (target_w - width) // 2
    if (target_h, target_w) == (height, width):
        return images_bchw, (0, 0)
    padding = (left, target_w - width - left, top, target_h - height - top)
    return F.pad(images_bchw, padding, mode="replicate"), (top, left)


def _method(info: ModelInfo, fit: Fit | None) -> ResizeMethod:
    if fit == "stretch":
        return "stretch"
    if fit == "aspect" and info.resize_method == "stretch":
        return "minimal"
    return info.resize_method


def _scale(picture_hw: tuple[int, int], size: int, method: ResizeMethod) -> float:
    scales = [size / length for length in picture_hw]
    if method == "lower_bound":
        return max(scales)
    if method == "upper_bound":
        return min(scales)
    # The side that has to change least decides; at a tie the height.
    return scales[1] if abs(1 - scales[1]) < abs(1 - scales[0]) else scales[0]


def _rounded_size(picture_hw: tuple[int, int], size: int, method: ResizeMethod, multiple: int) -> tuple[int, int]:
    if method == "stretch":
        side = max(multiple, round(size / multiple) * multiple)
        return side, side
    scale = _scale(picture_hw, size, method)
    height, width = picture_hw
    if method == "upper_bound":
        return _upper(height * scale, multiple), _upper(width * scale, multiple)
    least = size if method == "lower_bound" else multiple
    return _nearest(height * scale, multiple, least), _nearest(width * scale, multiple, least)


def _nearest(length: float, multiple: int, least: int) -> int:
    nearest = round(length / multiple) * multiple
    return nearest if nearest >= least else _ceil(max(length, least), multiple)


def _upper(length: float, multiple: int) -> int:
    # First to whole pixels, then to the nearest multiple, of two equally near the greater.
    return max(multiple, (max(1, round(length)) + multiple // 2) // multiple * multiple)


def _ceil(length: float, multiple: int) -> int:
    return -int(-length // multiple) * multiple


def _resize_in_two_steps(rgb_bhwc: Tensor, input_hw: tuple[int, int], multiple: int) -> Tensor:
    """Resize as Depth Anything V3 does: to the longest side keeping the aspect, then to the nearest multiples."""
    height, width = rgb_bhwc.shape[1:3]
    scale = max(input_hw) / max(height, width)
    between_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    if all(abs(a - b) <= multiple for a, b in zip(between_hw, input_hw, strict=True)):
        rgb_bhwc = resize_uint8(rgb_bhwc, between_hw)
    return resize_uint8(rgb_bhwc, input_hw)
