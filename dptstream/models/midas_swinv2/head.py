"""From fused features to one value a pixel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config


# Copied from dptstream/models/depth_anything/head.py
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


# Copied from dptstream/models/midas_beit/head.py
class Head(nn.Module):
    """Three convolutions with one doubling, from half the picture's size to the whole; a ReLU keeps inverse depth from below 0."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        half = config.fusion_channels // 2
        self.conv_1 = nn.Conv2d(config.fusion_channels, half, 3, padding=1)
        self.depth = Branch(half, config.head_channels)

    def forward(self, fused_bchw: Tensor) -> Tensor:
        """Turn (B, F, H / 2, W / 2) into (B, H, W) float32, whatever the precision of the weights."""
        features_bchw = F.interpolate(self.conv_1(fused_bchw), scale_factor=2.0, mode="bilinear", align_corners=True)
        return F.relu(self.depth(features_bchw))
