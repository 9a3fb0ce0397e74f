"""The BEiT image transformer: tokens in, the outputs of four of its blocks out.

Bao, Dong, Piao, Wei: BEiT, 2021 (https://arxiv.org/abs/2106.08254), as MiDaS 3.1 uses it: positions are known only
from the bias on attention, and the tapped outputs carry no final normalisation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .features import AttentionAt, attention_rows, block_number
from .position_bias import RelativePositionBias

NORM_EPS = 1e-6
MLP_RATIO = 4


class Attention(nn.Module):
    """Multi-head self-attention with a bias for every pair of tokens."""

    def __init__(self, width: int, heads: int, base_grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.position_bias = RelativePositionBias(base_grid, heads)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Mix (B, 1 + N, C) tokens; the shape stays."""
        query, key, value = self._split(tokens_bnc)
        bias = self.position_bias(grid_hw, query.dtype)
        mixed_bhnd = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected_bnc: Tensor = self.projection(mixed_bhnd.transpose(1, 2).reshape(tokens_bnc.shape))
        return projected_bnc

    def weights(self, tokens_bnc: Tensor, grid_hw: tuple[int, int], rows: slice) -> Tensor:
        """Return the softmax of the scores (B, heads, Q, 1 + N) of some queries, which ``forward`` never writes down."""
        query, key, _ = self._split(tokens_bnc)
        scores_bhqn: Tensor = query[:, :, rows] @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        scores_bhqn = scores_bhqn + self.position_bias(grid_hw, query.dtype)[:, :, rows]
        return scores_bhqn.softmax(dim=-1)

    def _split(self, tokens_bnc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, 1 + N, C / heads)."""
        batch, count, width = tokens_bnc.shape
        qkv = self.qkv(tokens_bnc).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value


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
    """Attention, then an MLP; each normalised before, scaled per channel after, and added to its input."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.attention = Attention(config.embed_dim, config.head_count, config.base_grid)
        self.gamma_1 = nn.Parameter(torch.ones(config.embed_dim))
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=NORM_EPS)
        self.mlp = Mlp(config.embed_dim, MLP_RATIO * config.embed_dim)
        self.gamma_2 = nn.Parameter(torch.ones(config.embed_dim))

    def forward(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> Tensor:
        """Transform (B, 1 + N, C) tokens; the shape stays."""
        tokens_bnc = tokens_bnc + self.gamma_1 * self.attention(self.norm1(tokens_bnc), grid_hw)
        mixed_bnc: Tensor = tokens_bnc + self.gamma_2 * self.mlp(self.norm2(tokens_bnc))
        return mixed_bnc


class ImageEncoder(nn.Module):
    """The class token and the chain of blocks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.taps = config.taps
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))

    def forward(self, tokens_bnc: Tensor, grid_hw: tuple[int, int]) -> list[Tensor]:
        """Encode (B, N, C) patch tokens; return four (B, 1 + N, C) block outputs, finest level first."""
        tokens_bnc = self._embed(tokens_bnc)
        tapped = []
        for index, block in enumerate(self.blocks):
            tokens_bnc = block(tokens_bnc, grid_hw)
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
        tokens_bnc = self._embed(tokens_bnc)
        for before in self.blocks[:block]:
            tokens_bnc = before(tokens_bnc, grid_hw)
        return chosen.attention.weights(chosen.norm1(tokens_bnc), grid_hw, rows)

    def _embed(self, tokens_bnc: Tensor) -> Tensor:
        """Put the class token in front."""
        return torch.cat([self.cls_token.expand(tokens_bnc.shape[0], -1, -1), tokens_bnc], dim=1)
