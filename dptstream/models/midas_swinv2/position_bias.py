"""SwinV2's position knowledge: a small network from the offset between two tokens to a bias on their attention."""

from __future__ import annotations

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .table_cache import TableCache
from .windows import WindowLayout

HIDDEN_WIDTH = 512
LARGEST_BIAS = 16.0


class ContinuousPositionBias(nn.Module):
    """The bias of one block for the windows at hand.

    Liu et al.: Swin Transformer V2, 2021 (https://arxiv.org/abs/2111.09883), section 3.3: offsets are measured in units of
    the (pre)trained window and spaced by logarithms. The unit is fixed, so an offset of so many tokens has the trained bias in
    every window. Computed in float32 whatever the network's precision.
    """

    def __init__(self, heads: int, offset_unit: int, *, cache_capacity: int = 2) -> None:
        super().__init__()
        self.offset_unit = offset_unit
        self.fc1 = nn.Linear(2, HIDDEN_WIDTH)
        self.fc2 = nn.Linear(HIDDEN_WIDTH, heads, bias=False)
        self.cache = TableCache(cache_capacity)

    def forward(self, layout: WindowLayout, dtype: torch.dtype) -> Tensor:
        """Return the bias: (1, heads, N, N), or (1, windows x heads, N, N) if the windows differ in what they mask."""

        def build() -> Tensor:
            bias_hnn = self._bias_hnn(layout.window_hw)
            if layout.masked:
                mask_wnn = layout.mask_wnn(bias_hnn.device)
                bias_hnn = (bias_hnn[None] + mask_wnn[:, None]).flatten(0, 1)
            return row_aligned(bias_hnn.to(dtype))[None]

        return self.cache.get(layout.grid_hw, dtype, self.fc2.weight, build)

    def _bias_hnn(self, window_hw: tuple[int, int]) -> Tensor:
        offsets_k2 = _log_spaced_offsets(window_hw, self.offset_unit, self.fc1.weight.device)
        hidden_kc = F.relu(F.linear(offsets_k2, self.fc1.weight.float(), self.fc1.bias.float()))
        bias_hk = LARGEST_BIAS * torch.sigmoid(F.linear(hidden_kc, self.fc2.weight.float())).T
        return bias_hk[:, _offset_index_nn(window_hw, bias_hk.device)]


def _log_spaced_offsets(window_hw: tuple[int, int], unit: int, device: torch.device) -> Tensor:
    """Return every (row, column) offset within a window, row by row: ((2 h - 1)(2 w - 1), 2) float32."""
    height, width = window_hw
    rows = torch.arange(1 - height, height, device=device, dtype=torch.float32)
    columns = torch.arange(1 - width, width, device=device, dtype=torch.float32)
    # Every pair, written with operations that converters know as well.
    pairs_k2 = torch.stack((rows.repeat_interleave(len(columns)), columns.repeat(len(rows))), dim=-1)
    scaled_k2 = pairs_k2 * 8 / unit
    return scaled_k2.sign() * (scaled_k2.abs() + 1).log2() / log2(8)


# Copied from dptstream/models/midas_beit/position_bias.py
def _offset_index_nn(grid_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Return for each (query, key) pair of patches its place among the (2h - 1)(2w - 1) offsets: (N, N) int64."""
    height, width = grid_hw
    rows_n = torch.arange(height, device=device).repeat_interleave(width)
    columns_n = torch.arange(width, device=device).repeat(height)
    dy_nn = rows_n[:, None] - rows_n[None, :] + height - 1
    dx_nn = columns_n[:, None] - columns_n[None, :] + width - 1
    return dy_nn * (2 * width - 1) + dx_nn


# Copied from dptstream/models/midas_beit/position_bias.py
def row_aligned(bias: Tensor) -> Tensor:
    """Return the same values with rows starting at multiples of 8 elements.

    CUDA's memory-efficient attention reads such a bias in place and would copy any other on every call.
    """
    width = bias.shape[-1]
    return F.pad(bias, (0, -width % 8))[..., :width]
