"""The plain vision transformer: tokens in, the outputs of some of its blocks out.

Dosovitskiy et al.: An Image is Worth 16x16 Words, 2020 (https://arxiv.org/abs/2010.11929). The tapped outputs carry no
final normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config
from .features import AttentionAt, attention_rows, block_number
from .table_cache import TableCache

NORM_EPS = 1e-6
MLP_RATIO = 4


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Mix (B, 1 + N, C) tokens; the shape stays."""
        mixed_bhnd = F.scaled_dot_product_attention(*self._split(tokens_bnc))
        projected_bnc: Tensor = self.projection(mixed_bhnd.transpose(1, 2).reshape(tokens_bnc.shape))
        return projected_bnc

    def weights(self, tokens_bnc: Tensor, rows: slice) -> Tensor:
        """Return the softmax of the scores (B, heads, Q, 1 + N) of some queries, which ``forward`` never writes down."""
        query, key, _ = self._split(tokens_bnc)
        scores_bhqn: Tensor = query[:, :, rows] @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        return scores_bhqn.softmax(dim=-1)

    def _split(self, tokens_bnc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, 1 + N, C / heads)."""
        batch, count, width = tokens_bnc.shape
        qkv = self.qkv(tokens_bnc).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value


# Copied from dptstream/models/midas_beit/image_encoder.py
class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Change each token on its own; the shape stays."""
        changed_bnc: Tensor = self.fc2(F.gelu(self.fc1(tokens_bnc)))
        return changed_bnc


class Block(nn.Module):
    """Attention, then an MLP; each normalised before and added to its input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.attention = Attention(config.embed_dim, config.head_count)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.mlp = Mlp(config.embed_dim, MLP_RATIO * config.embed_dim)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Transform (B, 1 + N, C) tokens; the shape stays."""
        tokens_bnc = tokens_bnc + self.attention(self.norm1(tokens_bnc))
        mixed_bnc: Tensor = tokens_bnc + self.mlp(self.norm2(tokens_bnc))
        return mixed_bnc


class PositionEmbedding(nn.Module):
    """A learned vector for the class token and for each patch, resized to the patch grid at hand.

    The authors resize it bilinearly; so do we, in float32 whatever the network's precision.
    """

    def __init__(self, base_grid: int, width: int, *, cache_capacity: int = 4) -> None:
        super().__init__()
        self.base_grid = base_grid
        self.vectors = nn.Parameter(torch.zeros(1, 1 + base_grid**2, width))
        self.cache = TableCache(cache_capacity)

    def forward(self, grid_hw: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Return the (1, 1 + N, C) vectors of a patch grid with N patches, class token first."""

        def build() -> Tensor:
            return self._resized(grid_hw).to(dtype)

        return self.cache.get(grid_hw, dtype, self.vectors, build)

    def _resized(self, grid_hw: tuple[int, int]) -> Tensor:
        vectors_1nc = self.vectors.float()
        patches_1chw = vectors_1nc[:, 1:].transpose(1, 2).reshape(1, -1, self.base_grid, self.base_grid)
        patches_1chw = F.interpolate(patches_1chw, size=grid_hw, mode="bilinear", align_corners=False)
        return torch.cat([vectors_1nc[:, :1], patches_1chw.flatten(2).transpose(1, 2)], dim=1)


class ImageEncoder(nn.Module):
    """The class token, the positions and the chain of blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.taps = config.taps
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.position = PositionEmbedding(config.base_grid, config.embed_dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))

    def forward(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> list[Tensor]:
        """Encode (B, N, C) patch tokens; return the tapped (B, 1 + N, C) block outputs, finest level first."""
        tokens_bnc = self._embed(tokens_bnc, grid_hw)
        tapped = []
        for index, block in enumerate(self.blocks):
            tokens_bnc = block(tokens_bnc)
            if index in self.taps:
                tapped.append(tokens_bnc)
        return tapped

    def attention(self, tokens_bnc: Tensor, grid_hw: tuple[int, int], block: int, at: AttentionAt | None) -> Tensor:
        """Return how much tokens look at every other in a block: (B, heads, Q, 1 + N); see ``Features.attention_bhqn``.

        Raises:
            ValueError: There is no such block or point.
        """
        rows = attention_rows(at, grid_hw, class_tokens=1)
        chosen = self.blocks[block_number(block, len(self.blocks))]
        assert isinstance(chosen, Block)
        tokens_bnc = self._embed(tokens_bnc, grid_hw)
        for before in self.blocks[:block]:
            tokens_bnc = before(tokens_bnc)
        return chosen.attention.weights(chosen.norm1(tokens_bnc), rows)

    def _embed(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Put the class token in front and add positions."""
        cls_b1c = self.cls_token.expand(tokens_bnc.shape[0], -1, -1)
        placed_bnc: Tensor = torch.cat([cls_b1c, tokens_bnc], dim=1) + self.position(grid_hw, tokens_bnc.dtype)
        return placed_bnc
