"""The SwinV2 image transformer: tokens in, the outputs of its four stages out.

Liu et al.: Swin Transformer V2: Scaling Up Capacity and Resolution, 2021 (https://arxiv.org/abs/2111.09883).
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config
from .features import AttentionAt, attention_rows, block_number
from .position_bias import ContinuousPositionBias
from .windows import WindowLayout

NORM_EPS = 1e-5
MLP_RATIO = 4
LARGEST_LOGIT_SCALE = log(100.0)
FLOAT16_SCALE = 2.0**-6


class WindowAttention(nn.Module):
    """Self-attention within windows, by the cosine of queries and keys; every second block shifts its windows."""

    def __init__(self, width: int, heads: int, trained_window: int, offset_unit: int, *, shifted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.trained_window = trained_window
        self.shifted = shifted
        self.qkv = nn.Linear(width, 3 * width)
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), log(10.0)))
        self.position_bias = ContinuousPositionBias(heads, offset_unit)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens_bhwc: Tensor) -> Tensor:
        """Mix (B, h, w, C) tokens; the shape stays. The last linear layer is left to the caller (see ``_normed_linear``)."""
        layout, query, key, value = self._split(tokens_bhwc)
        batch, count, _, length, _ = value.shape
        width = tokens_bhwc.shape[3]
        bias = self.position_bias(layout, value.dtype)
        # Windows with different masks stand beside the heads, where the batch shares one bias; else beside the batch.
        first = 1 if layout.masked else 0
        query, key, value = (part.flatten(first, first + 1) for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        mixed_bwhnd = mixed.reshape(batch, count, self.heads, length, width // self.heads)
        return layout.join(mixed_bwhnd.transpose(2, 3).reshape(batch, count, length, width))

    def weights(self, tokens_bhwc: Tensor, rows: slice) -> Tensor:
        """Return the softmax of the scores of some of the N = h w queries, (B, heads, Q, N): zero outside their windows."""
        layout, query, key, value = self._split(tokens_bhwc)
        bias = self.position_bias(layout, value.dtype)[0].unflatten(0, (-1, self.heads))
        weights_bhwnn = (query @ key.transpose(3, 4) + bias).softmax(dim=-1).transpose(1, 2)
        height, width = layout.grid_hw
        # Tokens are numbered from 1, so that filling, which is 0, lands in a row and a column that are cut off again.
        numbers = torch.arange(1, height * width + 1, device=value.device)
        columns_wn = layout.split(numbers.view(1, height, width, 1))[0, :, :, 0]
        wanted = numbers[rows]
        row_of = torch.zeros(height * width + 1, dtype=torch.long, device=value.device)
        row_of[wanted] = torch.arange(1, len(wanted) + 1, device=value.device)
        spread: Tensor = weights_bhwnn.new_zeros(*weights_bhwnn.shape[:2], len(wanted) + 1, height * width + 1)
        spread[:, :, row_of[columns_wn][:, :, None], columns_wn[:, None, :]] = weights_bhwnn
        return spread[:, :, 1:, 1:]

    def _split(self, tokens_bhwc: Tensor) -> tuple[WindowLayout, Tensor, Tensor, Tensor]:
        """Return the windows, and queries, keys and values in them, each (B, windows, heads, N, C / heads), ready to multiply."""
        layout = WindowLayout.fit(
            (tokens_bhwc.shape[1], tokens_bhwc.shape[2]), self.trained_window, shifted=self.shifted
        )
        windows_bwnc = layout.split(tokens_bhwc)
        batch, count, length, width = windows_bwnc.shape
        qkv = self.qkv(windows_bwnc).view(batch, count, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(3, 0, 1, 4, 2, 5)
        query = self._unit(query, self.logit_scale.float().clamp(max=LARGEST_LOGIT_SCALE).exp())
        return layout, query, self._unit(key), value

    @staticmethod
    def _unit(vectors: Tensor, length: Tensor | None = None) -> Tensor:
        # In float16 the sum of squares may overflow, and the guard against zero vectors would itself be zero.
        units = F.normalize(vectors.float(), dim=-1)
        return (units if length is None else units * length).to(vectors.dtype)


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, width: int, hidden_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden_width)
        self.fc2 = nn.Linear(hidden_width, width)

    def forward(self, tokens_bhwc: Tensor) -> Tensor:
        """Return the hidden values; the second linear layer is left to the caller (see ``_normed_linear``)."""
        return F.gelu(self.fc1(tokens_bhwc))


class Block(nn.Module):
    """Window attention, then an MLP; each normalised after and added to its input."""

    def __init__(self, attention: WindowAttention, width: int) -> None:
        super().__init__()
        self.attention = attention
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, MLP_RATIO * width)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, tokens_bhwc: Tensor) -> Tensor:
        """Transform (B, h, w, C) tokens; the shape stays."""
        tokens_bhwc = tokens_bhwc + _normed_linear(self.attention(tokens_bhwc), self.attention.projection, self.norm1)
        return tokens_bhwc + _normed_linear(self.mlp(tokens_bhwc), self.mlp.fc2, self.norm2)


class PatchMerging(nn.Module):
    """Halve the grid and double the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(2 * width, eps=NORM_EPS)

    def forward(self, tokens_bhwc: Tensor) -> Tensor:
        """Turn (B, h, w, C) tokens into (B, h / 2, w / 2, 2 C)."""
        batch, height, width, channels = tokens_bhwc.shape
        squares = tokens_bhwc.reshape(batch, height // 2, 2, width // 2, 2, channels)
        # Within a square the authors go down the left column, then down the right.
        return _normed_linear(squares.permute(0, 1, 3, 4, 2, 5).flatten(3), self.reduction, self.norm)


class Stage(nn.Module):
    """Blocks on one grid, plain and shifted windows by turns."""

    def __init__(self, config: Config, stage: int) -> None:
        super().__init__()
        width, heads = config.level_channels[stage], config.head_counts[stage]
        window, offset_unit = config.stage_window(stage), config.stage_offset_unit(stage)
        self.blocks = nn.Sequential(
            *(
                Block(WindowAttention(width, heads, window, offset_unit, shifted=index % 2 == 1), width)
                for index in range(config.depths[stage])
            )
        )
        self.downsample = PatchMerging(width) if stage < len(config.depths) - 1 else nn.Identity()

    def forward(self, tokens_bhwc: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B, h, w, C) tokens after the blocks, and what the next stage starts from."""
        tokens_bhwc = self.blocks(tokens_bhwc)
        return tokens_bhwc, self.downsample(tokens_bhwc)


class ImageEncoder(nn.Module):
    """The four stages."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(config, stage) for stage in range(len(config.depths)))

    def forward(self, tokens_bhwc: Tensor) -> list[Tensor]:
        """Encode (B, H / 4, W / 4, C) patch tokens; return the (B, h, w, c) outputs of the stages, finest first."""
        outputs = []
        for stage in self.stages:
            output_bhwc, tokens_bhwc = stage(tokens_bhwc)
            outputs.append(output_bhwc)
        return outputs

    def attention(self, tokens_bhwc: Tensor, block: int, at: AttentionAt | None) -> tuple[Tensor, tuple[int, int]]:
        """Return how much tokens look at every other in a block, and their grid; see ``Features.attention_bhqn``.

        Blocks are counted through the stages; attention is zero outside a token's window.

        Raises:
            ValueError: There is no such block or point.
        """
        stages = [stage for stage in self.stages if isinstance(stage, Stage)]
        places = [(number, index) for number, stage in enumerate(stages) for index in range(len(stage.blocks))]
        number, index = places[block_number(block, len(places))]
        for before in stages[:number]:
            tokens_bhwc = before(tokens_bhwc)[1]
        tokens_bhwc = stages[number].blocks[:index](tokens_bhwc)
        chosen = stages[number].blocks[index]
        assert isinstance(chosen, Block)
        grid_hw = (tokens_bhwc.shape[1], tokens_bhwc.shape[2])
        return chosen.attention.weights(tokens_bhwc, attention_rows(at, grid_hw, class_tokens=0)), grid_hw


def _normed_linear(inputs: Tensor, linear: nn.Linear, norm: nn.LayerNorm) -> Tensor:
    """Apply a linear layer and the normalisation behind it.

    Between the two, values have no bound, and float16 may overflow. A normalisation undoes any scale, so there the layer
    works on smaller values; the scale is a power of two and costs no precision.
    """
    if inputs.dtype != torch.float16:
        normed: Tensor = norm(linear(inputs))
        return normed
    bias = None if linear.bias is None else linear.bias * FLOAT16_SCALE
    outputs = F.linear(inputs * FLOAT16_SCALE, linear.weight, bias)
    return F.layer_norm(outputs, norm.normalized_shape, norm.weight, norm.bias, norm.eps * FLOAT16_SCALE**2)
