"""From fused features to one value a pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config


class Head(nn.Module):
    """Three convolutions with one enlargement, to 14 pixels a patch.

    The original DPT head doubles 8 pixels a patch to 16. Depth Anything's patches have 14 pixels, so here the enlargement goes
    straight to the input's size (a factor of 14 / 8).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_size = config.size_multiple
        self.activation = config.activation
        self.max_depth = config.max_depth
        half = config.fusion_channels // 2
        self.conv_1 = nn.Conv2d(config.fusion_channels, half, 3, padding=1)
        self.conv_2 = nn.Conv2d(half, config.head_channels, 3, padding=1)
        self.conv_3 = nn.Conv2d(config.head_channels, 1, 1)

    def forward(self, fused_bchw: Tensor, patch_grid_hw: tuple[int, int]) -> Tensor:
        """Return (B, H, W) float32, whatever the precision of the weights."""
        size_hw = (patch_grid_hw[0] * self.patch_size, patch_grid_hw[1] * self.patch_size)
        features_bchw = F.interpolate(self.conv_1(fused_bchw), size=size_hw, mode="bilinear", align_corners=True)
        features_bchw = F.relu(self.conv_2(features_bchw))
        return self._activate(_conv_float32(self.conv_3, features_bchw)).squeeze(1)

    def _activate(self, raw_b1hw: Tensor) -> Tensor:
        if self.activation == "exp":
            return torch.exp(raw_b1hw)
        if self.activation == "sigmoid" and self.max_depth is not None:
            return torch.sigmoid(raw_b1hw) * self.max_depth
        return F.relu(raw_b1hw)


def _conv_float32(conv: nn.Conv2d, features_bchw: Tensor) -> Tensor:
    # A half-precision result has 8 to 11 bits, which shows as bands in the depth, so the last 1x1 convolution is done in float32.
    bias = None if conv.bias is None else conv.bias.float()
    return F.conv2d(features_bchw.float(), conv.weight.float(), bias)
