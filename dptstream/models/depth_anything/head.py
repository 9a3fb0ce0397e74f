"""From fused features to one value a pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config

SKY_THRESHOLD = 0.3
SKY_QUANTILE = 0.99
SKY_MINIMUM_PIXELS = 10


class Branch(nn.Module):
    """The last two convolutions."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.conv_2 = nn.Conv2d(channels, head_channels, 3, padding=1)
        self.conv_3 = nn.Conv2d(head_channels, 1, 1)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Return (B, H, W) float32, whatever the precision of the weights."""
        features_bchw = F.relu(self.conv_2(features_bchw))
        # A half-precision result has 8 to 11 bits, which shows as bands in the depth, so the last convolution is done in float32.
        bias = None if self.conv_3.bias is None else self.conv_3.bias.float()
        return F.conv2d(features_bchw.float(), self.conv_3.weight.float(), bias).squeeze(1)


class Head(nn.Module):
    """Three convolutions with one enlargement, to 14 pixels a patch.

    The original DPT head doubles 8 pixels a patch to 16. Depth Anything's patches have 14 pixels, so here the enlargement goes
    straight to the input's size (a factor of 14 / 8). V3 adds a second branch, which tells sky.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_size = config.size_multiple
        self.activation = config.activation
        self.max_depth = config.max_depth
        half = config.fusion_channels // 2
        self.conv_1 = nn.Conv2d(config.fusion_channels, half, 3, padding=1)
        self.depth = Branch(half, config.head_channels)
        self.sky = Branch(half, config.head_channels) if config.is_v3 else None

    def forward(self, fused_bchw: Tensor, patch_grid_hw: tuple[int, int]) -> Tensor:
        """Return (B, H, W) float32; in V3 with the sky put at its place."""
        depth_bhw, sky_bhw = self.depth_and_sky(fused_bchw, patch_grid_hw)
        return depth_bhw if sky_bhw is None else fill_sky(depth_bhw, sky_bhw)

    def depth_and_sky(self, fused_bchw: Tensor, patch_grid_hw: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return the two branches as they are, each (B, H, W) float32; the second is None before V3."""
        size_hw = (patch_grid_hw[0] * self.patch_size, patch_grid_hw[1] * self.patch_size)
        features_bchw = F.interpolate(self.conv_1(fused_bchw), size=size_hw, mode="bilinear", align_corners=True)
        depth_bhw = self._activate(self.depth(features_bchw))
        return depth_bhw, None if self.sky is None else F.relu(self.sky(features_bchw))

    def _activate(self, raw_bhw: Tensor) -> Tensor:
        if self.activation == "exp":
            return torch.exp(raw_bhw)
        if self.max_depth is not None:
            return torch.sigmoid(raw_bhw) * self.max_depth
        return F.relu(raw_bhw)


def fill_sky(depth_bhw: Tensor, sky_bhw: Tensor) -> Tensor:
    """Set each picture's sky to the 99th percentile of its other depths, as V3 does, whose depth means nothing there.

    A picture with ten pixels or fewer of either kind stays as it is. Works on the device alone: nothing is read back.

    Args:
        depth_bhw: (B, H, W), all positive.
        sky_bhw: (B, H, W), the sky branch; sky from 0.3 on.
    """
    sky_bn = sky_bhw.flatten(1) >= SKY_THRESHOLD
    ground_count_b1 = (~sky_bn).sum(1, keepdim=True)
    sky_count_b1 = sky_bn.sum(1, keepdim=True)
    ascending_bn = depth_bhw.flatten(1).masked_fill(sky_bn, torch.inf).sort(dim=1).values
    rank_b1 = (ground_count_b1 - 1).clamp(min=0) * SKY_QUANTILE
    below_b1 = ascending_bn.gather(1, rank_b1.floor().long())
    above_b1 = ascending_bn.gather(1, rank_b1.ceil().long())
    farthest_b11 = torch.lerp(below_b1, above_b1, rank_b1.frac()).unsqueeze(2)
    enough_b1 = (ground_count_b1 > SKY_MINIMUM_PIXELS) & (sky_count_b1 > SKY_MINIMUM_PIXELS)
    filled_bhw = (sky_bn & enough_b1).view_as(depth_bhw)
    return torch.where(filled_bhw, farthest_b11, depth_bhw)
