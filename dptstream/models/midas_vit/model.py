"""The first dense prediction transformers, assembled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import Config
from .features import AttentionAt, Features
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

    @torch.no_grad()
    def features(
        self,
        images_bchw: Tensor,
        *,
        attention_block: int | None = None,
        attention_at: AttentionAt | None = None,
        level_scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    ) -> Features:
        """Run the network on pictures and return what it computes on the way.

        Args:
            images_bchw: (B, 3, H, W) as for ``forward``.
            attention_block: The block of the encoder, from 0, whose attention is wanted; costs another run up to it.
            attention_at: Whose attention is wanted, (x, y) in [0, 1) or "class"; every token's by default, which takes
                heads * N² values.
            level_scales: Factors of the four reassembled levels, finest first; 0 hides a level from the fusion.

        Raises:
            ValueError: The picture does not suit ``forward``, or there is no such block or point.
        """
        tokens_bnc, grid_hw, early_levels = self.patch_embed(images_bchw)
        attention_bhqn = None
        if attention_block is not None:
            attention_bhqn = self.image_encoder.attention(tokens_bnc, grid_hw, attention_block, attention_at)
        tapped = self.image_encoder(tokens_bnc, grid_hw)
        levels_bchw = self.reassemble([*early_levels, *tapped], grid_hw)
        levels_bchw = [level * scale for level, scale in zip(levels_bchw, level_scales, strict=True)]
        fused_bchw = self.fusion.steps(levels_bchw)
        return Features(
            tokens_bnc=tuple(tapped),
            token_grids_hw=(grid_hw,) * len(tapped),
            attention_bhqn=attention_bhqn,
            attention_grid_hw=None if attention_bhqn is None else grid_hw,
            levels_bchw=tuple(levels_bchw),
            fused_bchw=tuple(reversed(fused_bchw)),
            depth_bhw=self.head(fused_bchw[-1]),
        )
