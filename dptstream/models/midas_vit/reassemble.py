"""Tokens back to pictures: block outputs become feature maps, so that there are four at 4, 8, 16 and 32 pixels a cell.

Ranftl, Bochkovskiy, Koltun: Vision Transformers for Dense Prediction, 2021 (https://arxiv.org/abs/2103.13413),
section 3, with the "project" way of reading the class token.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config


# Copied from dptstream/models/midas_beit/reassemble.py
class ReadoutProjection(nn.Module):
    """Join the class token to every patch token by a linear layer and a GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Turn (B, 1 + N, C), class token first, into (B, N, C)."""
        cls_b1c, patches_bnc = tokens_bnc[:, :1], tokens_bnc[:, 1:]
        # The layer over (patch, class) is the sum of one over each: the class token's share is the same for all patches.
        patch_weight, cls_weight = self.linear.weight.chunk(2, dim=1)
        joined_bnc = F.linear(patches_bnc, patch_weight) + F.linear(cls_b1c, cls_weight, self.linear.bias)
        return F.gelu(joined_bnc)


# Copied from dptstream/models/midas_beit/reassemble.py
class ReassembleLevel(nn.Module):
    """One level: read the class token, arrange the tokens as a map, set its channels, and resize it."""

    def __init__(self, width: int, channels: int, level: int) -> None:
        super().__init__()
        self.readout = ReadoutProjection(width)
        self.projection = nn.Conv2d(width, channels, kernel_size=1)
        self.resize = _resize_layer(channels, level)

    def forward(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Turn (B, 1 + N, C) tokens into a (B, channels, h, w) map."""
        features_bchw = self.readout(tokens_bnc).transpose(1, 2).unflatten(2, grid_hw)
        resized_bchw: Tensor = self.resize(self.projection(features_bchw))
        return resized_bchw


class EarlyLevel(nn.Module):
    """A level that the ResNet gives as a map already."""

    def forward(self, features_bchw: Tensor, _grid_hw: tuple[int, int]) -> Tensor:
        """Pass the map on."""
        return features_bchw


class Reassemble(nn.Module):
    """The four levels, finest first. The hybrid's two finest pass unchanged."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        early = len(config.level_channels) - len(config.taps)
        self.levels = nn.ModuleList(
            EarlyLevel() if level < early else ReassembleLevel(config.embed_dim, channels, level)
            for level, channels in enumerate(config.level_channels)
        )

    def forward(self, tapped: list[Tensor], grid_hw: tuple[int, int]) -> list[Tensor]:
        """Turn early maps and (B, 1 + N, C) block outputs into four maps, finest first."""
        return [level(features, grid_hw) for level, features in zip(self.levels, tapped, strict=True)]


# Copied from dptstream/models/midas_beit/reassemble.py
def _resize_layer(channels: int, level: int) -> nn.Module:
    if level == 0:
        return nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=4)
    if level == 1:
        return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
    if level == 2:
        return nn.Identity()
    return nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1)
