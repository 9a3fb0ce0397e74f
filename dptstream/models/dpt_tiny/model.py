"""The dpt_tiny network. Knows nothing of files, pictures or video."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .decoder import Fusion, Head, Reassemble
from .encoder import ConvNorm, ImageEncoder
from .features import AttentionAt, Features


class Model(nn.Module):
    """Vision Transformers for Dense Prediction, the hybrid, in miniature.

    Ranftl, Bochkovskiy, Koltun, 2021, https://arxiv.org/abs/2103.13413. What differs here: the
    convolutional part is a few residual blocks, positions come from a depthwise convolution, and
    the head joins the stem's half-resolution picture, so that edges stay sharp in a small network.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = ConvNorm(3, config.stem_channels, stride=2)
        self.image_encoder = ImageEncoder(config)
        self.reassemble = Reassemble(config)
        self.fusion = Fusion(config)
        self.head = Head(config)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return relative inverse depth (B, H, W), larger is nearer, never negative.

        Args:
            images_bchw: RGB normalised with the checkpoint's mean and std; H and W are multiples
                of 16.
        """
        stem = F.relu(self.patch_embed(images_bchw))
        levels = self.image_encoder(stem)
        reassembled = self.reassemble(levels)
        fused = self.fusion(reassembled)
        inverse_depth: Tensor = self.head(fused, stem)
        return inverse_depth

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
        stem_bchw = F.relu(self.patch_embed(images_bchw))
        attention_bhqn, attention_grid_hw = None, None
        if attention_block is not None:
            attention_bhqn, attention_grid_hw = self.image_encoder.attention(stem_bchw, attention_block, attention_at)
        *early_bchw, middle_bchw, last_bchw = self.image_encoder.tapped(stem_bchw)
        tapped_bchw = (middle_bchw, last_bchw)
        levels_bchw = self.reassemble([*early_bchw, middle_bchw, self.image_encoder.normalised(last_bchw)])
        levels_bchw = [level * scale for level, scale in zip(levels_bchw, level_scales, strict=True)]
        fused_bchw = self.fusion.steps(levels_bchw)
        return Features(
            tokens_bnc=tuple(tokens_bchw.flatten(2).transpose(1, 2) for tokens_bchw in tapped_bchw),
            token_grids_hw=tuple((tokens_bchw.shape[2], tokens_bchw.shape[3]) for tokens_bchw in tapped_bchw),
            attention_bhqn=attention_bhqn,
            attention_grid_hw=attention_grid_hw,
            levels_bchw=tuple(levels_bchw),
            fused_bchw=tuple(reversed(fused_bchw)),
            depth_bhw=self.head(fused_bchw[-1], stem_bchw),
        )


def convert(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the module's state dict from the file's: the same keys, as the file is our own."""
    return dict(state_dict)
