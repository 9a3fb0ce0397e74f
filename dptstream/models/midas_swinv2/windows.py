"""Cutting a grid of tokens into windows, plain or shifted, for any grid. Knows no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

OTHER_REGION = -100.0
"""Added to the attention between tokens which the shift alone has made neighbours, as the authors do."""

_FILLING = 3


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """How one block cuts a grid.

    Each side is split into the fewest windows that are no longer than the trained one, of equal length. Where that length
    does not divide the side, rows or columns of filling are added at its end, which no token attends to, and taken
    away again. So no offset is larger than in training, at the trained size nothing differs from it, and the filling is
    less than one row or column a window. Shifted layouts move by half a window along the sides that have several.
    """

    grid_hw: tuple[int, int]
    """Tokens along each side."""
    window_hw: tuple[int, int]
    """Tokens along each side of a window."""
    count_hw: tuple[int, int]
    """Windows along each side."""
    shift_hw: tuple[int, int]
    """Tokens the grid is moved up and left before it is cut."""

    @classmethod
    def fit(cls, grid_hw: tuple[int, int], trained_window: int, *, shifted: bool) -> WindowLayout:
        """Choose the windows of a grid."""
        height_count, width_count = (-(-side // trained_window) for side in grid_hw)
        window_hw = (-(-grid_hw[0] // height_count), -(-grid_hw[1] // width_count))
        shift_hw = (
            window_hw[0] // 2 if shifted and height_count > 1 else 0,
            window_hw[1] // 2 if shifted and width_count > 1 else 0,
        )
        return cls(grid_hw, window_hw, (height_count, width_count), shift_hw)

    @property
    def padded_hw(self) -> tuple[int, int]:
        """Tokens along each side, filling included."""
        return (self.window_hw[0] * self.count_hw[0], self.window_hw[1] * self.count_hw[1])

    @property
    def masked(self) -> bool:
        """Whether some tokens of a window must not attend to each other, so that windows differ in their bias."""
        return any(self.shift_hw) or self.padded_hw != self.grid_hw

    def split(self, tokens_bhwc: Tensor) -> Tensor:
        """Cut (B, h, w, C) tokens into (B, windows, N, C)."""
        batch, height, width, channels = tokens_bhwc.shape
        padded_height, padded_width = self.padded_hw
        if self.padded_hw != self.grid_hw:
            tokens_bhwc = F.pad(tokens_bhwc, (0, 0, 0, padded_width - width, 0, padded_height - height))
        if any(self.shift_hw):
            tokens_bhwc = torch.roll(tokens_bhwc, (-self.shift_hw[0], -self.shift_hw[1]), dims=(1, 2))
        (rows, columns), (window_height, window_width) = self.count_hw, self.window_hw
        windows = tokens_bhwc.reshape(batch, rows, window_height, columns, window_width, channels).transpose(2, 3)
        return windows.reshape(batch, rows * columns, window_height * window_width, channels)

    def join(self, windows_bwnc: Tensor) -> Tensor:
        """Undo ``split``: (B, windows, N, C) -> (B, h, w, C)."""
        batch, _, _, channels = windows_bwnc.shape
        (rows, columns), (window_height, window_width) = self.count_hw, self.window_hw
        tokens = windows_bwnc.reshape(batch, rows, columns, window_height, window_width, channels).transpose(2, 3)
        tokens_bhwc = tokens.reshape(batch, *self.padded_hw, channels)
        if any(self.shift_hw):
            tokens_bhwc = torch.roll(tokens_bhwc, self.shift_hw, dims=(1, 2))
        return tokens_bhwc[:, : self.grid_hw[0], : self.grid_hw[1]]

    def mask_wnn(self, device: torch.device) -> Tensor:
        """Return what is added to attention: (windows, N, N) float32, of 0, ``OTHER_REGION`` and minus infinity for filling."""
        sides = zip(self.grid_hw, self.window_hw, self.count_hw, self.shift_hw, strict=True)
        rows, columns = (_regions(*side, device) for side in sides)
        filling = (rows == _FILLING)[:, None] | (columns == _FILLING)[None, :]
        regions = rows[:, None] * (_FILLING + 1) + columns[None, :]
        regions_wn, filling_wn = (_unrolled_windows(plane, self) for plane in (regions, filling))
        mask_wnn = torch.where(regions_wn[:, :, None] == regions_wn[:, None, :], 0.0, OTHER_REGION)
        return mask_wnn.masked_fill(filling_wn[:, None, :], -torch.inf)


def _regions(side: int, window: int, count: int, shift: int, device: torch.device) -> Tensor:
    """Number the parts of one shifted side that were neighbours before the shift; filling has a number of its own."""
    place = torch.arange(window * count, device=device)
    region = (place >= window * (count - 1)).long() + (place >= window * count - shift).long()
    source = (place + shift) % (window * count)
    return torch.where(source < side, region, _FILLING)


def _unrolled_windows(plane_hw: Tensor, layout: WindowLayout) -> Tensor:
    (rows, columns), (window_height, window_width) = layout.count_hw, layout.window_hw
    return plane_hw.reshape(rows, window_height, columns, window_width).transpose(1, 2).reshape(rows * columns, -1)
