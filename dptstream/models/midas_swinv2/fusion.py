"""Merge the pyramid from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config


# Copied from dptstream/models/depth_anything/fusion.py
class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, added to the unrectified input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """Keep the shape (B, F, H, W)."""
        change_bchw: Tensor = self.conv_2(F.relu(self.conv_1(F.relu(features_bchw))))
        return features_bchw + change_bchw


# Copied from dptstream/models/depth_anything/fusion.py
class FusionBlock(nn.Module):
    """Add a level to what came from the coarser ones, refine, and enlarge to the next level's size."""

    def __init__(self, channels: int, *, coarsest: bool) -> None:
        super().__init__()
        # The coarsest block has nothing to add its level to, and so takes the level as it is.
        self.level_unit = None if coarsest else ResidualConvUnit(channels)
        self.sum_unit = ResidualConvUnit(channels)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(self, coarser_bchw: Tensor | None, level_bchw: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Return (B, F, *size_hw)."""
        fused_bchw = level_bchw
        if self.level_unit is not None and coarser_bchw is not None:
            fused_bchw = coarser_bchw + self.level_unit(level_bchw)
        fused_bchw = self.sum_unit(fused_bchw)
        fused_bchw = F.interpolate(fused_bchw, size=size_hw, mode="bilinear", align_corners=True)
        projected_bchw: Tensor = self.projection(fused_bchw)
        return projected_bchw


# Copied from dptstream/models/depth_anything/fusion.py
class Fusion(nn.Module):
    """RefineNet-like fusion of the four levels.

    Each step's target is the size of the next finer level, given explicitly: with an odd grid, 19 rows must become 37, not 38.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.fusion_channels
        self.adapters = nn.ModuleList(
            nn.Conv2d(level, channels, 3, padding=1, bias=False) for level in config.level_channels
        )
        self.blocks = nn.ModuleList(FusionBlock(channels, coarsest=index == 3) for index in range(4))

    def forward(self, levels_bchw: Sequence[Tensor]) -> Tensor:
        """Return (B, F, 8 * gh, 8 * gw): twice the size of the finest level."""
        return self.steps(levels_bchw)[-1]

    def steps(self, levels_bchw: Sequence[Tensor]) -> list[Tensor]:
        """Return the result of every step, coarsest first."""
        adapted_bchw = self.adapt(levels_bchw)
        fused_bchw = [self.fuse(3, None, adapted_bchw)]
        for index in (2, 1, 0):
            fused_bchw.append(self.fuse(index, fused_bchw[-1], adapted_bchw))
        return fused_bchw

    def adapt(self, levels_bchw: Sequence[Tensor]) -> list[Tensor]:
        """Bring the four levels to F channels each."""
        return [adapter(level_bchw) for adapter, level_bchw in zip(self.adapters, levels_bchw, strict=True)]

    def fuse(self, index: int, coarser_bchw: Tensor | None, adapted_bchw: Sequence[Tensor]) -> Tensor:
        """Run one step, from 3 (coarsest) to 0; the result has the size of the next finer level, the last twice its own."""
        height, width = adapted_bchw[max(index - 1, 0)].shape[-2:]
        size_hw = (height, width) if index else (2 * height, 2 * width)
        fused_bchw: Tensor = self.blocks[index](coarser_bchw, adapted_bchw[index], size_hw)
        return fused_bchw
