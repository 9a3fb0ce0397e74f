"""The picture cut into patches, each projected to a token and normalised."""

from __future__ import annotations

from torch import Tensor, nn

from .config import Config

NORM_EPS = 1e-5


class PatchEmbed(nn.Module):
    """One linear layer over the pixels of each patch, done as a strided convolution, and a normalisation."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size_multiple = config.size_multiple
        self.projection = nn.Conv2d(3, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Turn (B, 3, H, W) into (B, H / 4, W / 4, C) tokens.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of 32.
        """
        _check_pictures(images_bchw, self.size_multiple)
        tokens_bhwc: Tensor = self.norm(self.projection(images_bchw).permute(0, 2, 3, 1))
        return tokens_bhwc


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
