"""The first dense prediction transformers, assembled."""

from __future__ import annotations

from torch import Tensor, nn

from .config import Config
from .fusion import Fusion
from .head import Head
from .image_encoder import ImageEncoder
from .patch_embed import PatchEmbed, ResNetPatchEmbed
from .reassemble import Reassemble


class Model(nn.Module):
    """A dense prediction transformer that gives relative inverse depth.

    Ranftl, Bochkovskiy, Koltun: Vision Transformers for Dense Prediction, 2021 (https://arxiv.org/abs/2103.13413). The
    hybrid's convolutions hold standardised weights, as ``checkpoint.convert`` makes them.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = ResNetPatchEmbed(config) if config.is_hybrid else PatchEmbed(config)
        self.image_encoder = ImageEncoder(config)
        self.reassemble = Reassemble(config)
        self.fusion = Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Estimate (B, H, W) float32 inverse depth, relative, larger is nearer, from normalised (B, 3, H, W) RGB.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of the patch size.
        """
        tokens_bnc, grid_hw, early_levels = self.patch_embed(images_bchw)
        tapped = self.image_encoder(tokens_bnc, grid_hw)
        levels = self.reassemble([*early_levels, *tapped], grid_hw)
        fused_bchw = self.fusion(levels)
        inverse_depth_bhw: Tensor = self.head(fused_bchw)
        return inverse_depth_bhw
