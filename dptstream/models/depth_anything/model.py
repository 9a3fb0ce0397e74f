"""Depth Anything, assembled: a DPT decoder on a DINOv2 encoder."""

from __future__ import annotations

from torch import Tensor, nn

from .config import Config
from .fusion import Fusion
from .head import Head
from .image_encoder import ImageEncoder, PatchEmbed
from .reassemble import Reassemble


class Model(nn.Module):
    """A network of the Depth Anything family.

    Yang et al., "Depth Anything" (https://arxiv.org/abs/2401.10891) and "Depth Anything V2" (https://arxiv.org/abs/2406.09414);
    the decoder is that of "Vision Transformers for Dense Prediction" (https://arxiv.org/abs/2103.13413).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.image_encoder = ImageEncoder(config)
        self.reassemble = Reassemble(config)
        self.fusion = Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Estimate ``config.depth_kind`` for normalised RGB pictures: (B, 3, H, W) -> (B, H, W) float32.

        Raises:
            ValueError: a side is not a positive multiple of 14.
        """
        tokens_bnc, patch_grid_hw = self.patch_embed(images_bchw)
        taps_bnc = self.image_encoder(tokens_bnc, patch_grid_hw)
        levels_bchw = self.reassemble(taps_bnc, patch_grid_hw)
        fused_bchw = self.fusion(levels_bchw)
        depth_bhw: Tensor = self.head(fused_bchw, patch_grid_hw)
        return depth_bhw
