"""BEiT's position knowledge: a learned bias on attention for every offset between two patches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .table_cache import TableCache

CLS_ROWS = 3
"""Rows after the offsets in the stored table: class token to patches, patches to class token, class token to itself."""


class RelativePositionBias(nn.Module):
    """The bias of one block, resized to the patch grid at hand.

    Bao, Dong, Piao, Wei: BEiT, 2021 (https://arxiv.org/abs/2106.08254). MiDaS resizes the stored offsets bilinearly
    where the grid differs from the trained one; so do we, in float32 whatever the network's precision.
    """

    def __init__(self, base_grid: int, heads: int, *, cache_capacity: int = 2) -> None:
        super().__init__()
        self.base_span = 2 * base_grid - 1
        self.heads = heads
        self.table = nn.Parameter(torch.zeros(self.base_span**2 + CLS_ROWS, heads))
        self.cache = TableCache(cache_capacity)

    def forward(self, grid_hw: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Return the (1, heads, 1 + N, 1 + N) bias of a patch grid with N patches, class token first."""

        def build() -> Tensor:
            return row_aligned(self._bias_hnn(grid_hw).to(dtype))[None]

        return self.cache.get(grid_hw, dtype, self.table, build)

    def _bias_hnn(self, grid_hw: tuple[int, int]) -> Tensor:
        patches_hnn = self._offset_bias_hyx(grid_hw).flatten(1)[:, _offset_index_nn(grid_hw, self.table.device)]
        count = patches_hnn.shape[-1]
        from_cls, to_cls, cls_itself = self.table[-CLS_ROWS:].float()[:, :, None, None]
        first_row_h1n = torch.cat([cls_itself, from_cls.expand(-1, 1, count)], dim=2)
        other_rows_hnn = torch.cat([to_cls.expand(-1, count, 1), patches_hnn], dim=2)
        return torch.cat([first_row_h1n, other_rows_hnn], dim=1)

    def _offset_bias_hyx(self, grid_hw: tuple[int, int]) -> Tensor:
        offsets_hyx = self.table[:-CLS_ROWS].float().T.reshape(self.heads, self.base_span, self.base_span)
        span_hw = (2 * grid_hw[0] - 1, 2 * grid_hw[1] - 1)
        return F.interpolate(offsets_hyx[None], size=span_hw, mode="bilinear", align_corners=False)[0]


def _offset_index_nn(grid_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Return for each (query, key) pair of patches its place among the (2h - 1)(2w - 1) offsets: (N, N) int64."""
    height, width = grid_hw
    rows_n = torch.arange(height, device=device).repeat_interleave(width)
    columns_n = torch.arange(width, device=device).repeat(height)
    dy_nn = rows_n[:, None] - rows_n[None, :] + height - 1
    dx_nn = columns_n[:, None] - columns_n[None, :] + width - 1
    return dy_nn * (2 * width - 1) + dx_nn


def row_aligned(bias: Tensor) -> Tensor:
    """Return the same values with rows starting at multiples of 8 elements.

    CUDA's memory-efficient attention reads such a bias in place and would copy any other on every call.
    """
    width = bias.shape[-1]
    return F.pad(bias, (0, -width % 8))[..., :width]
