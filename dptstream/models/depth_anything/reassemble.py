"""Turn the tokens of the four taps into a pyramid of feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .config import Config


class Reassemble(nn.Module):
    """Lay each tap's tokens out as a picture, choose its channels, and resize it to 4, 2, 1 and 1/2 times the patch grid.

    Ranftl et al., "Vision Transformers for Dense Prediction" (https://arxiv.org/abs/2103.13413). The class token takes no part
    ("ignore" in the paper's words).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        first, second, _, fourth = config.level_channels
        self.projections = nn.ModuleList(nn.Conv2d(config.embed_dim, channels, 1) for channels in config.level_channels)
        self.resizers = nn.ModuleList(
            (
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            )
        )

    def forward(self, taps_bnc: Sequence[Tensor], patch_grid_hw: tuple[int, int]) -> list[Tensor]:
        """Return four levels (B, C_i, H_i, W_i), finest first; odd grids halve upwards."""
        levels = []
        for tokens_bnc, projection, resizer in zip(taps_bnc, self.projections, self.resizers, strict=True):
            batch, _, channels = tokens_bnc.shape
            tokens_bchw = tokens_bnc.transpose(1, 2).reshape(batch, channels, *patch_grid_hw)
            levels.append(resizer(projection(tokens_bchw)))
        return levels
