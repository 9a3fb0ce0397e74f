"""MiDaS 3.1 with a BEiT encoder, assembled."""

from torch import Tensor, nn

from .config import Config
from .fusion import Fusion
from .head import Head
from .image_encoder import ImageEncoder
from .patch_embed import PatchEmbed
from .reassemble import Reassemble


class Model(nn.Module):
    """A dense prediction transformer that gives relative inverse depth.

    Birkl, Wofk, Müller: MiDaS v3.1 - A Model Zoo for Robust Monocular Relative Depth Estimation, 2023
    (https://arxiv.org/abs/2307.14460). The position bias is resized once per picture size and kept.
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
        """Estimate (B, H, W) float32 inverse depth, relative, larger is nearer, from normalised (B, 3, H, W) RGB.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of the patch size.
        """
        tokens_bnc, grid_hw = self.patch_embed(images_bchw)
        tapped = self.image_encoder(tokens_bnc, grid_hw)
        levels = self.reassemble(tapped, grid_hw)
        fused_bchw = self.fusion(levels)
        inverse_depth_bhw: Tensor = self.head(fused_bchw)
        return inverse_depth_bhw
