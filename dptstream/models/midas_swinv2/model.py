"""MiDaS 3.1 with a SwinV2 encoder, assembled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import Config
from .features import AttentionAt, Features
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
            attention_at: Whose attention is wanted, (x, y) in [0, 1); every token's by default, which takes
                heads * N² values.
            level_scales: Factors of the four reassembled levels, finest first; 0 hides a level from the fusion.

        Raises:
            ValueError: The picture does not suit ``forward``, or there is no such block or point.
        """
        tokens_bhwc = self.patch_embed(images_bchw)
        attention_bhqn, attention_grid_hw = None, None
        if attention_block is not None:
            attention_bhqn, attention_grid_hw = self.image_encoder.attention(tokens_bhwc, attention_block, attention_at)
        outputs_bhwc = self.image_encoder(tokens_bhwc)
        levels_bchw = reassemble(outputs_bhwc)
        levels_bchw = [level * scale for level, scale in zip(levels_bchw, level_scales, strict=True)]
        fused_bchw = self.fusion.steps(levels_bchw)
        return Features(
            tokens_bnc=tuple(output_bhwc.flatten(1, 2) for output_bhwc in outputs_bhwc),
            token_grids_hw=tuple((output_bhwc.shape[1], output_bhwc.shape[2]) for output_bhwc in outputs_bhwc),
            attention_bhqn=attention_bhqn,
            attention_grid_hw=attention_grid_hw,
            levels_bchw=tuple(levels_bchw),
            fused_bchw=tuple(reversed(fused_bchw)),
            depth_bhw=self.head(fused_bchw[-1]),
        )


def reassemble(outputs_bhwc: list[Tensor]) -> list[Tensor]:
    """Arrange the stages' tokens as maps; a hierarchical encoder gives a pyramid as it is."""
    return [output_bhwc.permute(0, 3, 1, 2).contiguous() for output_bhwc in outputs_bhwc]
