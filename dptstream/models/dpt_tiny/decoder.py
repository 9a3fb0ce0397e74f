"""The decoder of dpt_tiny: reassemble, fusion and head, as in DPT but slim."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config


class Reassemble(nn.Module):
    """Bring the four levels to the fusion's channels, at 1/4, 1/8, 1/16 and 1/32."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        quarter, eighth = config.stage_channels
        width = config.fusion_channels
        self.level_4 = nn.Conv2d(quarter, width, 3, padding=1)
        self.level_8 = nn.Conv2d(eighth, width, 3, padding=1)
        self.level_16 = nn.Conv2d(config.token_dim, width, 1)
        self.level_32 = nn.Conv2d(config.token_dim, width, 3, stride=2, padding=1)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the levels, finest first, each with the fusion's channels."""
        quarter, eighth, middle, last = levels
        return [
            self.level_4(quarter),
            self.level_8(eighth),
            self.level_16(middle),
            self.level_32(last),
        ]


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions around a skip that carries the un-rectified input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return the picture of the same shape, refined."""
        refined: Tensor = self.second(F.relu(self.first(F.relu(images_bchw))))
        return images_bchw + refined


class FusionBlock(nn.Module):
    """Project what came from below, enlarge it, add the level, refine.

    DPT refines before it enlarges and projects after; at the coarse side both cost a quarter.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, channels, 1)
        self.refine = ResidualUnit(channels)

    def forward(self, below_bchw: Tensor, level_bchw: Tensor) -> Tensor:
        """Return the fused picture at the level's resolution."""
        height, width = level_bchw.shape[-2:]
        enlarged = F.interpolate(self.project(below_bchw), size=(height, width), mode="bilinear", align_corners=False)
        refined: Tensor = self.refine(level_bchw + enlarged)
        return refined


class Fusion(nn.Module):
    """From the coarsest level up to the one at 1/4."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.refine_32 = ResidualUnit(config.fusion_channels)
        self.fuse_16 = FusionBlock(config.fusion_channels)
        self.fuse_8 = FusionBlock(config.fusion_channels)
        self.fuse_4 = FusionBlock(config.fusion_channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Return one picture (B, fusion_channels, H/4, W/4)."""
        return self.steps(levels)[-1]

    def steps(self, levels: list[Tensor]) -> list[Tensor]:
        """Return the result of every step, coarsest first."""
        quarter, eighth, sixteenth, coarsest = levels
        fused = [self.refine_32(coarsest)]
        for block, level in ((self.fuse_16, sixteenth), (self.fuse_8, eighth), (self.fuse_4, quarter)):
            fused.append(block(fused[-1], level))
        return fused


class Head(nn.Module):
    """Inverse depth at full resolution, its edges led by the stem's half-resolution picture.

    Four values per half-resolution pixel are shuffled into a 2x2 block (Shi et al., "Real-Time
    Single Image and Video Super-Resolution", 2016): full resolution at a quarter of the cost.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.head_channels
        self.reduce = nn.Conv2d(config.fusion_channels, width, 1)
        self.mix = nn.Conv2d(width + config.stem_channels, width, 3, padding=1)
        self.predict = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, fused_bchw: Tensor, stem_bchw: Tensor) -> Tensor:
        """Return (B, H, W) float32, not negative, whatever the precision of the weights."""
        height, width = stem_bchw.shape[-2:]
        enlarged = F.interpolate(self.reduce(fused_bchw), size=(height, width), mode="bilinear", align_corners=False)
        mixed = F.relu(self.mix(torch.cat([enlarged, stem_bchw], dim=1)))
        # A half-precision result has 8 to 11 bits, which shows as bands in the depth, so the last convolution is done in float32.
        bias = None if self.predict.bias is None else self.predict.bias.float()
        blocks_b4hw = F.conv2d(mixed.float(), self.predict.weight.float(), bias, padding=1)
        return F.softplus(F.pixel_shuffle(blocks_b4hw, 2).squeeze(1))
