"""DINOv2: a plain vision transformer whose blocks scale their own contribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config
from .features import AttentionAt, attention_rows, block_number
from .size_tables import SizeTables


class PatchEmbed(nn.Module):
    """Cut a picture into 14x14 patches and project each to a token."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch_size = config.size_multiple
        self.projection = nn.Conv2d(3, config.embed_dim, self.patch_size, stride=self.patch_size)

    def forward(self, images_bchw: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return tokens (B, gh * gw, C) in row order and their grid (gh, gw)."""
        if images_bchw.ndim != 4 or images_bchw.shape[1] != 3:
            raise ValueError(f"images have shape {tuple(images_bchw.shape)}; expected (B, 3, H, W)")
        height, width = images_bchw.shape[-2:]
        if height < self.patch_size or width < self.patch_size or height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"images are {width}x{height}; both sides must be positive multiples of {self.patch_size}: resize them"
            )
        tokens_bchw = self.projection(images_bchw)
        return tokens_bchw.flatten(2).transpose(1, 2), (tokens_bchw.shape[2], tokens_bchw.shape[3])


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values."""

    def __init__(self, embed_dim: int, head_count: int) -> None:
        super().__init__()
        self.head_count = head_count
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.projection = nn.Linear(embed_dim, embed_dim)

    def split(self, tokens_bnc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, N, C / heads)."""
        batch, count, channels = tokens_bnc.shape
        qkv = self.qkv(tokens_bnc).view(batch, count, 3, self.head_count, channels // self.head_count)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return queries, keys, values

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Keep the shape (B, N, C)."""
        mixed_bhnc = F.scaled_dot_product_attention(*self.split(tokens_bnc))
        projected_bnc: Tensor = self.projection(mixed_bhnc.transpose(1, 2).flatten(2))
        return projected_bnc

    def weights(self, tokens_bnc: Tensor, rows: slice) -> Tensor:
        """Return the softmax of the scores (B, heads, Q, N) of some queries, which ``forward`` never writes down."""
        queries, keys, _ = self.split(tokens_bnc)
        scores_bhqn: Tensor = queries[:, :, rows] @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5
        return scores_bhqn.softmax(dim=-1)


class Mlp(nn.Module):
    """Two layers with exact GELU."""

    def __init__(self, embed_dim: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(embed_dim, width)
        self.contract = nn.Linear(width, embed_dim)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Keep the shape (B, N, C)."""
        contracted_bnc: Tensor = self.contract(F.gelu(self.expand(tokens_bnc)))
        return contracted_bnc


class SwiGluMlp(nn.Module):
    """A gated MLP, as in ViT-G: the first half of the hidden channels gates the second."""

    def __init__(self, embed_dim: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(embed_dim, 2 * width)
        self.contract = nn.Linear(width, embed_dim)

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Keep the shape (B, N, C)."""
        gate, values = self.expand(tokens_bnc).chunk(2, dim=-1)
        contracted_bnc: Tensor = self.contract(F.silu(gate) * values)
        return contracted_bnc


class Block(nn.Module):
    """Attention, then an MLP; each is normalised before, scaled per channel after, and added."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.embed_dim
        mlp = SwiGluMlp if config.mlp_kind == "swiglu" else Mlp
        self.norm_1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, config.head_count)
        self.scale_1 = nn.Parameter(torch.ones(dim))
        self.norm_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = mlp(dim, config.mlp_width)
        self.scale_2 = nn.Parameter(torch.ones(dim))

    def forward(self, tokens_bnc: Tensor) -> Tensor:
        """Keep the shape (B, N, C)."""
        attended_bnc: Tensor = tokens_bnc + self.scale_1 * self.attention(self.norm_1(tokens_bnc))
        transformed_bnc: Tensor = attended_bnc + self.scale_2 * self.mlp(self.norm_2(attended_bnc))
        return transformed_bnc


class ImageEncoder(nn.Module):
    """The DINOv2 encoder with four taps.

    Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (https://arxiv.org/abs/2304.07193).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.taps = config.taps
        self.position_grid = config.position_grid
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + config.position_grid**2, config.embed_dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.final_norm_eps)
        self._position_tables = SizeTables()

    def forward(self, tokens_bnc: Tensor, patch_grid_hw: tuple[int, int]) -> list[Tensor]:
        """Return the normalised patch tokens (B, N, C) after each tapped block, first tap first."""
        return self.normalised_patches(self.tapped(tokens_bnc, patch_grid_hw))

    def normalised_patches(self, tapped_bnc: Sequence[Tensor]) -> list[Tensor]:
        """Normalise tapped tokens (B, 1 + N, C) and drop the class token, which the head ignores."""
        return [self.norm(tokens_bnc)[:, 1:] for tokens_bnc in tapped_bnc]

    def tapped(self, tokens_bnc: Tensor, patch_grid_hw: tuple[int, int]) -> list[Tensor]:
        """Return all tokens (B, 1 + N, C) after each tapped block, as they are, class token first."""
        tokens_bnc = self.embed(tokens_bnc, patch_grid_hw)
        tapped_bnc = []
        for index, block in enumerate(self.blocks):
            tokens_bnc = block(tokens_bnc)
            if index in self.taps:
                tapped_bnc.append(tokens_bnc)
        return tapped_bnc

    def attention(
        self, tokens_bnc: Tensor, patch_grid_hw: tuple[int, int], block: int, at: AttentionAt | None
    ) -> Tensor:
        """Return how much tokens look at every other in a block: (B, heads, Q, 1 + N); see ``Features.attention_bhqn``.

        Raises:
            ValueError: there is no such block or point.
        """
        rows = attention_rows(at, patch_grid_hw, class_tokens=1)
        chosen = self.blocks[block_number(block, len(self.blocks))]
        assert isinstance(chosen, Block)
        tokens_bnc = self.embed(tokens_bnc, patch_grid_hw)
        for before in self.blocks[:block]:
            tokens_bnc = before(tokens_bnc)
        return chosen.attention.weights(chosen.norm_1(tokens_bnc), rows)

    def embed(self, tokens_bnc: Tensor, patch_grid_hw: tuple[int, int]) -> Tensor:
        """Put the class token in front and add positions: (B, N, C) -> (B, 1 + N, C)."""
        class_token_b1c = self.class_token.expand(tokens_bnc.shape[0], -1, -1)
        return torch.cat((class_token_b1c, tokens_bnc), dim=1) + self.positions(patch_grid_hw)

    def positions(self, patch_grid_hw: tuple[int, int]) -> Tensor:
        """Return the position embedding (1, 1 + gh * gw, C) of a grid, from memory when it was met before."""
        # Where the size is symbolic (an export for all sizes), no branch may depend on it: the trained grid is resampled as well.
        symbolic = not all(type(side) is int for side in patch_grid_hw)
        if not symbolic and patch_grid_hw == (self.position_grid, self.position_grid):
            return self.position_embedding
        if torch.is_grad_enabled() and self.position_embedding.requires_grad:
            return self._resize_positions(patch_grid_hw)
        embedding = self.position_embedding
        return self._position_tables.fetch(patch_grid_hw, embedding, lambda: self._resize_positions(patch_grid_hw))

    def _resize_positions(self, patch_grid_hw: tuple[int, int]) -> Tensor:
        trained = self.position_grid
        class_position, patch_positions = self.position_embedding[:, :1], self.position_embedding[:, 1:]
        square_ijc = patch_positions[0].float().view(trained, trained, -1)
        resized_nc = resize_positions(square_ijc, patch_grid_hw).flatten(0, 1)
        return torch.cat((class_position, resized_nc[None].to(class_position.dtype)), dim=1)

    def train(self, mode: bool = True) -> ImageEncoder:
        """Switch between training and use; training may have changed the positions, so forget their tables."""
        self._position_tables.clear()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> ImageEncoder:
        # Moves to another device or dtype come through here.
        self._position_tables.clear()
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._position_tables.clear()
        super()._load_from_state_dict(*args, **kwargs)


def resize_positions(square_ijc: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Resize positions (I, J, C) to (gh, gw, C) bicubically, as ``torch.nn.functional.interpolate`` does with a scale factor.

    DINOv2 gives the factor with 0.1 patch to spare, against rounding down, and samples with that very factor, so the offset is
    part of the numbers, even along a side that keeps its length. As products of matrices this also exports for sizes that are
    not yet known.
    """
    rows_hi, columns_wj = (_cubic_weights(count, square_ijc) for count in grid_hw)
    return torch.einsum("hi,wj,ijc->hwc", rows_hi, columns_wj, square_ijc)


def _cubic_weights(count: int, square_ijc: Tensor) -> Tensor:
    trained, device = square_ijc.shape[0], square_ijc.device
    places = (torch.arange(count, device=device) + 0.5) * (trained / (count + 0.1)) - 0.5
    patches = torch.arange(-2, trained + 2, device=device)
    distance = (places[:, None] - patches).abs()
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
    # Beyond the border the outermost patch goes on, so it takes the weights of its neighbours there.
    stands_for = patches.clamp(0, trained - 1)[:, None] == patches[2:-2]
    return weights @ stands_for.to(weights.dtype)
