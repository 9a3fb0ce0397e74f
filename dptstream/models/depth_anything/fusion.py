"""Merge the pyramid from coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config


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
        sizes_hw = [(level.shape[2], level.shape[3]) for level in levels_bchw]
        targets_hw = [(2 * sizes_hw[0][0], 2 * sizes_hw[0][1]), *sizes_hw[:3]]
        adapted_bchw = [adapter(level) for adapter, level in zip(self.adapters, levels_bchw, strict=True)]
        fused_bchw: Tensor = self.blocks[3](None, adapted_bchw[3], targets_hw[3])
        for index in (2, 1, 0):
            fused_bchw = self.blocks[index](fused_bchw, adapted_bchw[index], targets_hw[index])
        return fused_bchw
