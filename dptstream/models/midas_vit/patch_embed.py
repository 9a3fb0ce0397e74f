"""The picture turned into tokens: by one linear layer a patch, or by a ResNet (the hybrid)."""

from __future__ import annotations

from torch import Tensor, nn

from .config import Config
from .resnet import ResNet


class PatchEmbed(nn.Module):
    """One linear layer over the pixels of each patch, done as a strided convolution."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.projection = nn.Conv2d(3, config.embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, images_bchw: Tensor) -> tuple[Tensor, tuple[int, int], list[Tensor]]:
        """Turn (B, 3, H, W) into (B, N, C) tokens in row order, the patch grid's (height, width), and no early level.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of the patch size.
        """
        _check_pictures(images_bchw, self.patch_size)
        return *_tokens(self.projection(images_bchw)), []


class ResNetPatchEmbed(nn.Module):
    """A ResNet down to 16 pixels a cell, and one linear layer over the channels of each cell."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        assert config.resnet_depths is not None
        self.patch_size = config.patch_size
        self.resnet = ResNet(config.resnet_width, config.resnet_depths)
        self.projection = nn.Conv2d(self.resnet.channels[-1], config.embed_dim, 1)

    def forward(self, images_bchw: Tensor) -> tuple[Tensor, tuple[int, int], list[Tensor]]:
        """Turn (B, 3, H, W) into (B, N, C) tokens, the patch grid's (height, width), and the levels at 4 and 8 pixels a cell.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of the patch size.
        """
        _check_pictures(images_bchw, self.patch_size)
        *early_levels, features_bchw = self.resnet(images_bchw)
        return *_tokens(self.projection(features_bchw)), early_levels


def _tokens(features_bchw: Tensor) -> tuple[Tensor, tuple[int, int]]:
    height, width = features_bchw.shape[-2:]
    return features_bchw.flatten(2).transpose(1, 2), (height, width)


# Copied from dptstream/models/midas_beit/patch_embed.py
def _check_pictures(images_bchw: Tensor, multiple: int) -> None:
    shape = tuple(images_bchw.shape)
    if len(shape) != 4 or shape[1] != 3:
        raise ValueError(f"pictures have shape {shape}; give (B, 3, H, W)")
    height, width = shape[-2:]
    if min(height, width) < multiple or height % multiple or width % multiple:
        raise ValueError(
            f"picture is {height}x{width} (height x width); both must be positive multiples of {multiple}: resize it first"
        )
