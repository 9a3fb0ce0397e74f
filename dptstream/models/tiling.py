"""More detail than a network's own size gives: overlapping tiles, each brought to the whole picture's scale, blended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .base import DepthModel, ModelInfo
from .network import predict
from .runtime import Runtime, prepare


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture is cut up."""

    detail: float = 2.0
    """How many times finer than the network's own size the work is done, at least 1; costs the square of it."""
    overlap: float = 0.3
    """Least share of a tile that lies over its neighbour, in [0.05, 0.75]."""

    def __post_init__(self) -> None:
        if not 1 <= self.detail <= 16:
            raise ValueError(f"detail is {self.detail:g}; it must lie between 1 and 16")
        if not 0.05 <= self.overlap <= 0.75:
            raise ValueError(f"overlap is {self.overlap:g}; it must lie between 0.05 and 0.75")


class TiledModel:
    """A ``DepthModel`` that works at a multiple of another model's size, tile by tile.

    The whole picture at the network's own size says how far things are; tiles of that same size, cut from the enlarged
    picture, add fine structure. A tile's depth has a scale and a shift of its own, so each is fitted to the whole
    picture's by least squares, and tiles fade into each other.
    """

    def __init__(self, model: DepthModel, tiling: Tiling = Tiling()) -> None:
        """Wrap ``model``, which must not remember earlier frames."""
        self.model = model
        self.tiling = tiling

    @property
    def info(self) -> ModelInfo:
        """Facts about the model."""
        return self.model.info

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.dtype

    @property
    def recordable(self) -> bool:
        """Whether the network beneath can be recorded; the way from picture to tiles is the same for every picture."""
        return bool(getattr(self.model, "recordable", False))

    def new_feed(self) -> TiledModel:
        """Return itself: tiles of a feed are not remembered."""
        return self

    def new_windows(self) -> None:
        """Return None: tiles see single pictures."""

    def with_field_of_view(self, fov_x_rad: float) -> TiledModel:
        """Return the tiled model for pictures of a camera."""
        return TiledModel(self.model.with_field_of_view(fov_x_rad), self.tiling)

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        """Return the size the tiles are cut from: ``detail`` times the network's, to the nearest multiple."""
        height, width = self.model.input_size_hw(picture_hw, size=size)
        return self._multiple(height * self.tiling.detail), self._multiple(width * self.tiling.detail)

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        """Resize and normalise by the authors' recipe: (B, H, W, 3) uint8 -> (B, 3, h, w) in ``dtype``."""
        return self.model.preprocess(rgb_bhwc, input_hw)

    def prepare(self, input_hw: tuple[int, int]) -> Runtime:
        """Get ready for pictures of the size that ``input_size_hw`` gives, and return what will run them."""
        return prepare(self.model, self._tile_hw(input_hw))

    @torch.no_grad()
    def __call__(self, images_bchw: Tensor) -> Tensor:
        """Estimate the whole and every tile: (B, 3, h, w) normalised -> (B, h, w) float32."""
        height, width = images_bchw.shape[-2:]
        tile_hw = self._tile_hw((height, width))
        small_bchw = F.interpolate(images_bchw.float(), tile_hw, mode="bicubic", antialias=True).to(images_bchw.dtype)
        whole_bhw = _enlarge(self.model(small_bchw), (height, width))
        if tile_hw == (height, width):
            return whole_bhw
        weight_hw = fade(tile_hw, images_bchw.device)
        total_bhw, weights_hw = torch.zeros_like(whole_bhw), torch.zeros_like(whole_bhw[0])
        for top, left in product(*(self._starts(*lengths) for lengths in zip((height, width), tile_hw, strict=True))):
            window = (slice(top, top + tile_hw[0]), slice(left, left + tile_hw[1]))
            tile_bhw = self.model(images_bchw[:, :, window[0], window[1]].contiguous())
            fitted_bhw = fit_to(tile_bhw, whole_bhw[:, window[0], window[1]], detail=self.tiling.detail)
            total_bhw[:, window[0], window[1]] += fitted_bhw * weight_hw
            weights_hw[window] += weight_hw
        return (total_bhw / weights_hw).clamp_(min=0)

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        """Give the depth of one picture at the picture's own size: (H, W, 3) RGB uint8 -> (H, W) float32."""
        return predict(self, rgb_hwc, size=size)

    def _tile_hw(self, input_hw: tuple[int, int]) -> tuple[int, int]:
        return self._multiple(input_hw[0] / self.tiling.detail), self._multiple(input_hw[1] / self.tiling.detail)

    def _multiple(self, length: float) -> int:
        multiple = self.info.size_multiple
        return max(multiple, round(length / multiple) * multiple)

    def _starts(self, length: int, tile: int) -> list[int]:
        count = 1 + math.ceil((length - tile) / (tile * (1 - self.tiling.overlap)))
        return [round(index * (length - tile) / max(1, count - 1)) for index in range(count)]


def fit_to(tile_bhw: Tensor, reference_bhw: Tensor, *, detail: float = 1.0) -> Tensor:
    """Scale and shift each tile so that it comes as near to the reference as it can (least squares).

    Both are compared at ``1 / detail`` of their size: what the reference is too coarse to show would otherwise count
    as noise of the tile and flatten it. A tile is never turned upside down: where it would have to be, or where it is
    flat, it becomes the reference's mean.
    """
    coarse_hw = (max(2, round(tile_bhw.shape[1] / detail)), max(2, round(tile_bhw.shape[2] / detail)))
    coarse_bhw, target_bhw = (F.adaptive_avg_pool2d(depth_bhw, coarse_hw) for depth_bhw in (tile_bhw, reference_bhw))
    mean_b11 = coarse_bhw.mean(dim=(1, 2), keepdim=True)
    target_mean_b11 = target_bhw.mean(dim=(1, 2), keepdim=True)
    deviation_bhw = coarse_bhw - mean_b11
    covariance_b11 = (deviation_bhw * (target_bhw - target_mean_b11)).mean(dim=(1, 2), keepdim=True)
    variance_b11 = deviation_bhw.square().mean(dim=(1, 2), keepdim=True)
    tiny = torch.finfo(torch.float32).tiny
    scale_b11 = (covariance_b11 / variance_b11.clamp(min=tiny)).clamp(min=0)
    return (tile_bhw - mean_b11) * scale_b11 + target_mean_b11


def fade(size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Return the (h, w) weight of a tile's pixels: greatest in the middle, small but positive at the rim."""
    rises = [torch.sin((torch.arange(length, device=device) + 0.5) * (math.pi / length)).square() for length in size_hw]
    return rises[0][:, None] * rises[1][None, :] + 1e-4


def _enlarge(depth_bhw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    if tuple(depth_bhw.shape[1:]) == size_hw:
        return depth_bhw
    return F.interpolate(depth_bhw[:, None], size_hw, mode="bicubic", align_corners=False)[:, 0]
