"""Sizes of the first dense prediction transformers, MiDaS 3.0, and their authors' recipe for pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Config:
    """One size of the network. The named constructors are the published checkpoints."""

    embed_dim: int
    """Channels of a token."""
    block_count: int
    """Number of transformer blocks."""
    head_count: int
    """Attention heads of a block."""
    taps: tuple[int, ...]
    """Blocks (from 0) whose outputs the decoder reads, finest level first: four, or two behind a ResNet."""
    level_channels: tuple[int, int, int, int]
    """Channels of the four levels the decoder reads, finest first."""
    base_size: int
    """Side of the square the network was trained on, pixels; the stored position embedding belongs to it."""
    resnet_depths: tuple[int, ...] | None = None
    """Blocks in the stages of the ResNet that makes the tokens (the hybrid); ``None``: tokens come straight from patches."""
    resnet_width: int = 64
    """Channels of the ResNet's first convolution."""
    fusion_channels: int = 256
    """Channels of the decoder."""
    head_channels: int = 32
    """Channels before the last 1x1 convolution."""
    patch_size: int = 16
    """Pixels along a side of what one token stands for. The network runs at any multiple of it."""
    size_multiple: int = 32
    """The authors' resizing makes height and width multiples of this, pixels."""
    resize_method: Literal["lower_bound", "minimal", "upper_bound", "stretch"] = "minimal"
    """How the authors choose the network's size for a picture: scale as little as possible, keeping the aspect."""
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from RGB in 0..1."""
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Divides RGB after the mean."""

    def __post_init__(self) -> None:
        if self.embed_dim % self.head_count:
            raise ValueError(f"embed_dim is {self.embed_dim}; it must be a multiple of the {self.head_count} heads")
        if self.base_size % self.patch_size:
            raise ValueError(
                f"base_size is {self.base_size}; it must be a multiple of the patch size, {self.patch_size}"
            )
        count = 2 if self.is_hybrid else 4
        rising = list(self.taps) == sorted(set(self.taps)) and all(0 <= tap < self.block_count for tap in self.taps)
        if len(self.taps) != count or not rising:
            raise ValueError(
                f"taps are {self.taps}; they must be {count} rising block numbers below {self.block_count}"
            )

    @property
    def is_hybrid(self) -> bool:
        """Whether a ResNet makes the tokens and the two finest levels."""
        return self.resnet_depths is not None

    @property
    def base_grid(self) -> int:
        """Patches along a side of the base size."""
        return self.base_size // self.patch_size

    @property
    def variant(self) -> str:
        """Name of this size as in the authors' files, such as ``large_384``; of its numbers where it has none."""
        size = {1024: "large", 768: "base"}.get(self.embed_dim, f"{self.embed_dim}x{self.block_count}")
        return f"{'hybrid' if self.is_hybrid else size}_{self.base_size}"

    @classmethod
    def large_384(cls) -> Config:
        """Describe ``dpt_large_384.pt``, which is also ``dpt_large-midas-2f21e586.pt``."""
        return cls(
            embed_dim=1024,
            block_count=24,
            head_count=16,
            taps=(5, 11, 17, 23),
            level_channels=(256, 512, 1024, 1024),
            base_size=384,
        )

    @classmethod
    def hybrid_384(cls) -> Config:
        """Describe ``dpt_hybrid_384.pt``, which is also ``dpt_hybrid-midas-501f0c75.pt``."""
        return cls(
            embed_dim=768,
            block_count=12,
            head_count=12,
            taps=(8, 11),
            level_channels=(256, 512, 768, 768),
            base_size=384,
            resnet_depths=(3, 4, 9),
        )
