"""What a network computes on the way from pictures to depth. The same in every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

AttentionAt = tuple[float, float] | Literal["class"]
"""Whose attention is wanted: that of the token at a point (x, y) of the picture, both in [0, 1), or of the class token."""


@dataclass(frozen=True, slots=True)
# Copied from dptstream/models/depth_anything/features.py
class Features:
    """What a network computes on the way from pictures to depth."""

    tokens_bnc: tuple[Tensor, ...]
    """Tokens as the tapped blocks give them, first block first: (B, K + gh * gw, C), K class tokens (one or none) first."""
    token_grids_hw: tuple[tuple[int, int], ...]
    """Rows gh and columns gw of the patches in each of ``tokens_bnc``."""
    attention_bhqn: Tensor | None
    """Attention of the block that was asked for, (B, heads, Q, K + gh * gw): each row sums to one. Q is 1 where one token's
    was asked for, else every token has its row."""
    attention_grid_hw: tuple[int, int] | None
    """Rows and columns of the patches that the columns of the attention stand for."""
    levels_bchw: tuple[Tensor, ...]
    """The four reassembled levels, scaled, finest first."""
    fused_bchw: tuple[Tensor, ...]
    """What each fusion step gives, in the order of the levels: the last was computed first, the first goes to the head."""
    depth_bhw: Tensor
    """The network's output, (B, H, W) float32."""


# Copied from dptstream/models/depth_anything/features.py
def attention_rows(at: AttentionAt | None, grid_hw: tuple[int, int], *, class_tokens: int) -> slice:
    """Return which rows of a block's attention are wanted: those of one token, or all of them where ``at`` is None.

    Raises:
        ValueError: the point lies outside the picture, or there is no class token.
    """
    if at is None:
        return slice(None)
    if at == "class":
        if not class_tokens:
            raise ValueError("this encoder has no class token: name a point (x, y) of the picture, both in [0, 1)")
        return slice(0, 1)
    x, y = at
    if not (0 <= x < 1 and 0 <= y < 1):
        raise ValueError(
            f"the point is ({x}, {y}); give x and y as shares of the picture's width and height, in [0, 1)"
        )
    row = class_tokens + int(y * grid_hw[0]) * grid_hw[1] + int(x * grid_hw[1])
    return slice(row, row + 1)


# Copied from dptstream/models/depth_anything/features.py
def block_number(block: int, count: int) -> int:
    """Return ``block`` if an encoder of ``count`` blocks has it.

    Raises:
        ValueError: there is no such block.
    """
    if not 0 <= block < count:
        raise ValueError(f"block is {block}; this encoder has blocks 0 to {count - 1}")
    return block
