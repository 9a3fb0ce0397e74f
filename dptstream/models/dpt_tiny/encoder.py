"""The hybrid encoder of dpt_tiny: convolutions down to 1/8, transformer blocks at 1/16."""

import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .features import AttentionAt, attention_rows, block_number


class ConvNorm(nn.Module):
    """A 3x3 convolution and its batch norm, which folds into it at inference."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return the normalised convolution, not yet rectified."""
        normed: Tensor = self.norm(self.conv(images_bchw))
        return normed


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip (He et al., "Deep Residual Learning", 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return the picture of the same shape, refined."""
        return F.relu(images_bchw + self.second(F.relu(self.first(images_bchw))))


class Stage(nn.Module):
    """Halve the resolution, then refine."""

    def __init__(self, channels_in: int, channels_out: int, depth: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels_in, channels_out, stride=2)
        self.blocks = nn.Sequential(*(ResidualBlock(channels_out) for _ in range(depth)))

    def forward(self, images_bchw: Tensor) -> Tensor:
        """Return (B, channels_out, H/2, W/2)."""
        refined: Tensor = self.blocks(F.relu(self.reduce(images_bchw)))
        return refined


class TokenBlock(nn.Module):
    """Place, attend, think: a transformer block whose tokens keep their grid.

    The depthwise convolution tells tokens where they are (Chu et al., "Conditional Positional
    Encodings for Vision Transformers", 2021), so any grid size works without interpolation.
    """

    def __init__(self, dim: int, heads: int, mlp_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, mlp_dim)
        self.contract = nn.Linear(mlp_dim, dim)

    def forward(self, tokens_bchw: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        batch, dim, height, width = tokens_bchw.shape
        tokens_bchw = self._placed(tokens_bchw)
        tokens_bnc = tokens_bchw.flatten(2).transpose(1, 2)
        tokens_bnc = tokens_bnc + self._attend(self.norm_attention(tokens_bnc))
        hidden = F.gelu(self.expand(self.norm_mlp(tokens_bnc)))
        tokens_bnc = tokens_bnc + self.contract(hidden)
        placed: Tensor = tokens_bnc.transpose(1, 2).reshape(batch, dim, height, width)
        return placed

    def attention(self, tokens_bchw: Tensor, rows: slice) -> Tensor:
        """Return the softmax of the scores (B, heads, Q, N) of some queries, which ``forward`` never writes down."""
        tokens_bnc = self._placed(tokens_bchw).flatten(2).transpose(1, 2)
        query, key, _ = self._split(self.norm_attention(tokens_bnc))
        scores_bhqn: Tensor = query[:, :, rows] @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        return scores_bhqn.softmax(dim=-1)

    def _placed(self, tokens_bchw: Tensor) -> Tensor:
        placed: Tensor = tokens_bchw + self.place(tokens_bchw)
        return placed

    def _attend(self, tokens_bnc: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(*self._split(tokens_bnc))
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(tokens_bnc.shape))
        return projected

    def _split(self, tokens_bnc: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (B, heads, N, dim / heads)."""
        batch, count, dim = tokens_bnc.shape
        qkv = self.qkv(tokens_bnc).reshape(batch, count, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value


class ImageEncoder(nn.Module):
    """From the stem's half-resolution picture to four levels: 1/4, 1/8, 1/16 and 1/16."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        quarter, eighth = config.stage_channels
        self.stage_4 = Stage(config.stem_channels, quarter, config.stage_depths[0])
        self.stage_8 = Stage(quarter, eighth, config.stage_depths[1])
        self.tokens = ConvNorm(eighth, config.token_dim, stride=2)
        self.blocks = nn.ModuleList(
            TokenBlock(config.token_dim, config.heads, config.mlp_dim) for _ in range(config.token_depth)
        )
        self.norm = nn.LayerNorm(config.token_dim)

    def forward(self, stem_bchw: Tensor) -> list[Tensor]:
        """Return the levels, finest first: two of pictures, two of tokens."""
        *others, last = self.tapped(stem_bchw)
        return [*others, self.normalised(last)]

    def normalised(self, tokens_bchw: Tensor) -> Tensor:
        """Normalise the last block's tokens."""
        normed: Tensor = self.norm(tokens_bchw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed

    def tapped(self, stem_bchw: Tensor) -> list[Tensor]:
        """Return the same with the last block's tokens as they are, not normalised."""
        quarter = self.stage_4(stem_bchw)
        eighth = self.stage_8(quarter)
        tokens = self.tokens(eighth)
        middle = tokens
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index + 1 == len(self.blocks) // 2:
                middle = tokens
        return [quarter, eighth, middle, tokens]

    def attention(self, stem_bchw: Tensor, block: int, at: AttentionAt | None) -> tuple[Tensor, tuple[int, int]]:
        """Return how much tokens look at every other in a block, and their grid; see ``Features.attention_bhqn``.

        Raises:
            ValueError: There is no such block or point.
        """
        chosen = self.blocks[block_number(block, len(self.blocks))]
        assert isinstance(chosen, TokenBlock)
        tokens_bchw = self.tokens(self.stage_8(self.stage_4(stem_bchw)))
        for before in self.blocks[:block]:
            tokens_bchw = before(tokens_bchw)
        grid_hw = (tokens_bchw.shape[2], tokens_bchw.shape[3])
        return chosen.attention(tokens_bchw, attention_rows(at, grid_hw, class_tokens=0)), grid_hw
