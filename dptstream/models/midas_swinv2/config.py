"""Sizes of the MiDaS 3.1 SwinV2 networks and their authors' recipe for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Config:
    """One size of the network. The named constructors are the published checkpoints."""

    embed_dim: int
    """Channels of a token in the first stage; every later stage has twice as many as the one before."""
    depths: tuple[int, int, int, int]
    """Blocks of each stage."""
    head_counts: tuple[int, int, int, int]
    """Attention heads of each stage's blocks."""
    base_size: int
    """Side of the square the network was trained on, pixels."""
    window: int
    """Side of the attention window it was trained with, tokens; a stage with a smaller grid has its grid as window."""
    pretrained_window: int = 0
    """Window, tokens, whose offsets the position bias measures in; 0: the trained window of each stage."""
    fusion_channels: int = 256
    """Channels of the decoder."""
    head_channels: int = 32
    """Channels before the last 1x1 convolution."""
    patch_size: int = 4
    """Side of a patch, pixels."""
    size_multiple: int = 32
    """Height and width must be multiples of this, pixels: a patch, halved three times."""
    resize_method: Literal["lower_bound", "minimal", "upper_bound", "stretch"] = "stretch"
    """How the authors choose the network's size for a picture: always the square they trained on."""
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from RGB in 0..1."""
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Divides RGB after the mean."""

    def __post_init__(self) -> None:
        if self.base_size % self.size_multiple or self.base_size <= 0:
            raise ValueError(f"base_size is {self.base_size}; it must be a positive multiple of {self.size_multiple}")
        if self.window < 1:
            raise ValueError(f"window is {self.window}; it must be at least 1 token")
        for channels, heads in zip(self.level_channels, self.head_counts, strict=True):
            if heads < 1 or channels % heads:
                raise ValueError(
                    f"a stage has {channels} channels and {heads} heads; give heads that divide the channels"
                )

    @property
    def level_channels(self) -> tuple[int, int, int, int]:
        """Channels of the four stages, which the decoder reads, finest first."""
        return (self.embed_dim, 2 * self.embed_dim, 4 * self.embed_dim, 8 * self.embed_dim)

    @property
    def block_count(self) -> int:
        """Number of transformer blocks of all stages."""
        return sum(self.depths)

    @property
    def taps(self) -> tuple[int, int, int, int]:
        """Blocks (from 0, through the stages) whose outputs the decoder reads: the last of each stage."""
        first, second, third, fourth = self.depths
        return (first - 1, first + second - 1, first + second + third - 1, first + second + third + fourth - 1)

    @property
    def variant(self) -> str:
        """Name of this size as in the authors' files, such as ``swin2_tiny_256``; of its numbers where it has none."""
        size = {192: "large", 128: "base", 96: "tiny"}.get(self.embed_dim, f"{self.embed_dim}x{sum(self.depths)}")
        return f"swin2_{size}_{self.base_size}"

    def stage_window(self, stage: int) -> int:
        """Return the side of the window that ``stage`` (from 0) was trained with, tokens."""
        return min(self.window, self.base_size // (self.patch_size << stage))

    def stage_offset_unit(self, stage: int) -> int:
        """Return the offset, tokens, that the position bias of ``stage`` (from 0) takes as its unit."""
        window = self.pretrained_window // 2 if stage == 3 else self.pretrained_window
        return max((window or self.stage_window(stage)) - 1, 1)

    @classmethod
    def large_384(cls) -> Config:
        """Describe ``dpt_swin2_large_384.pt``."""
        return cls(
            embed_dim=192,
            depths=(2, 2, 18, 2),
            head_counts=(6, 12, 24, 48),
            base_size=384,
            window=24,
            pretrained_window=12,
        )

    @classmethod
    def base_384(cls) -> Config:
        """Describe ``dpt_swin2_base_384.pt``."""
        return cls(
            embed_dim=128,
            depths=(2, 2, 18, 2),
            head_counts=(4, 8, 16, 32),
            base_size=384,
            window=24,
            pretrained_window=12,
        )

    @classmethod
    def tiny_256(cls) -> Config:
        """Describe ``dpt_swin2_tiny_256.pt``."""
        return cls(embed_dim=96, depths=(2, 2, 6, 2), head_counts=(3, 6, 12, 24), base_size=256, window=16)
