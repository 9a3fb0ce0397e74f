"""MiDaS 3.1 with a SwinV2 encoder, assembled."""

from __future__ import annotations

from torch import Tensor, nn

from .config import Config
from .fusion import Fusion
from .head import Head
from .image_encoder import ImageEncoder
from .patch_embed import PatchEmbed


class Model(nn.Module):
    """A dense prediction transformer that gives relative inverse depth.

    Birkl, Wofk, Müller: MiDaS v3.1 - A Model Zoo for Robust Monocular Relative Depth Estimation, 2023
    (https://arxiv.org/abs/2307.14460). The authors run it at its square base size only; here windows fit any multiple
    of 32, see ``windows.WindowLayout``, and masks and position biases are computed once per size and kept.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.image_encoder = ImageEncoder(config)
        self.fusion = Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Estimate (B, H, W) float32 inverse depth, relative, larger is nearer, from normalised (B, 3, H, W) RGB.

        Raises:
            ValueError: The picture is not RGB, or a side is no positive multiple of 32.
        """
        tokens_bhwc = self.patch_embed(images_bchw)
        outputs_bhwc = self.image_encoder(tokens_bhwc)
        levels_bchw = reassemble(outputs_bhwc)
        fused_bchw = self.fusion(levels_bchw)
        inverse_depth_bhw: Tensor = self.head(fused_bchw)
        return inverse_depth_bhw


def reassemble(outputs_bhwc: list[Tensor]) -> list[Tensor]:
    """Arrange the stages' tokens as maps; a hierarchical encoder gives a pyramid as it is."""
    return [output_bhwc.permute(0, 3, 1, 2).contiguous() for output_bhwc in outputs_bhwc]
