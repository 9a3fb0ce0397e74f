"""What distinguishes one Depth Anything network from another: sizes, tapped blocks, output; reads no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Variant = Literal["v1", "v2", "v2-metric-indoor", "v2-metric-outdoor", "v3-mono", "v3-metric", "video", "video-metric"]
"""Releases of the family. Several share keys and shapes, so a file alone does not tell them apart."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)

DepthKind = Literal["relative_inverse", "metric", "relative_depth"]
ResizeMethod = Literal["lower_bound", "minimal", "upper_bound", "stretch"]
Activation = Literal["relu", "sigmoid", "exp"]

MAX_DEPTHS: dict[Variant, float] = {"v2-metric-indoor": 20.0, "v2-metric-outdoor": 80.0}


@dataclass(frozen=True, slots=True)
class Config:
    """One network of the family; make it by ``vits``, ``vitb``, ``vitl``, ``vitg`` or from a checkpoint's shapes."""

    variant: Variant
    """The release, which settles the tapped blocks, the output and how pictures are prepared."""
    embed_dim: int
    """Channels of a token."""
    block_count: int
    """Transformer blocks of the encoder."""
    level_channels: tuple[int, int, int, int]
    """Channels of the four reassembled levels, finest first."""
    fusion_channels: int
    """Channels inside the fusion blocks."""
    mlp_kind: Literal["gelu", "swiglu"] = "gelu"
    """Two layers with GELU, or the gated three of ViT-G."""
    mlp_width: int = 0
    """Hidden channels of the MLP; 0 means four times ``embed_dim``."""
    position_grid: int = 37
    """Side, in patches, of the square grid the position embedding was trained at."""
    head_channels: int = 32
    """Channels before the last 1x1 convolution."""
    max_depth: float | None = None
    """Metres a saturated output stands for, in the metric models of V2 (20 indoors, 80 outdoors unless given); else None."""

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant is {self.variant!r}; allowed: {', '.join(VARIANTS)}")
        if self.embed_dim % 64:
            raise ValueError(
                f"embed_dim is {self.embed_dim}; it must be a multiple of 64, the channels of one attention head"
            )
        if self.block_count < 4:
            raise ValueError(f"block_count is {self.block_count}; the head taps four blocks, so at least 4 are needed")
        if self.max_depth is not None and self.variant not in MAX_DEPTHS:
            raise ValueError(
                f"max_depth is {self.max_depth}, but variant {self.variant!r} has none; allowed for: {', '.join(MAX_DEPTHS)}"
            )
        if self.max_depth is not None and self.max_depth <= 0:
            raise ValueError(f"max_depth is {self.max_depth}; it must be a positive number of metres")
        if self.max_depth is None:
            object.__setattr__(self, "max_depth", MAX_DEPTHS.get(self.variant))
        if not self.mlp_width:
            object.__setattr__(self, "mlp_width", 4 * self.embed_dim)

    @classmethod
    def vits(cls, variant: Variant = "v2", *, max_depth: float | None = None) -> Config:
        """Describe the small network: 25 million parameters."""
        return cls(variant, 384, 12, (48, 96, 192, 384), 64, max_depth=max_depth)

    @classmethod
    def vitb(cls, variant: Variant = "v2", *, max_depth: float | None = None) -> Config:
        """Describe the base network: 97 million parameters."""
        return cls(variant, 768, 12, (96, 192, 384, 768), 128, max_depth=max_depth)

    @classmethod
    def vitl(cls, variant: Variant = "v2", *, max_depth: float | None = None) -> Config:
        """Describe the large network: 335 million parameters."""
        return cls(variant, 1024, 24, (256, 512, 1024, 1024), 256, max_depth=max_depth)

    @classmethod
    def vitg(cls, variant: Variant = "v2", *, max_depth: float | None = None) -> Config:
        """Describe the giant network: 1.26 billion parameters, with a gated MLP."""
        return cls(variant, 1536, 40, (1536,) * 4, 384, mlp_kind="swiglu", mlp_width=4096, max_depth=max_depth)

    @property
    def head_count(self) -> int:
        """Attention heads of the encoder: 64 channels each, in every DINOv2."""
        return self.embed_dim // 64

    @property
    def taps(self) -> tuple[int, int, int, int]:
        """Blocks (from 0) whose outputs the head reads."""
        last = self.block_count - 1
        if self.variant == "v1":
            return (last - 3, last - 2, last - 1, last)
        if self.block_count == 24:
            # The authors' large networks tap block 4, not 5, which would be a quarter of the way.
            return (4, 11, 17, 23)
        first, second, third = (self.block_count * quarter // 4 - 1 for quarter in (1, 2, 3))
        return (first, second, third, last)

    @property
    def is_v3(self) -> bool:
        """Whether this is a network of the third release, which gives depth and sky."""
        return self.variant in ("v3-mono", "v3-metric")

    @property
    def has_temporal_head(self) -> bool:
        """Whether frames of a clip look at each other."""
        return self.variant in ("video", "video-metric")

    @property
    def final_norm_eps(self) -> float:
        """Epsilon of the normalisation shared by the four taps; the blocks use 1e-6 in every release."""
        return 1e-5 if self.is_v3 else 1e-6

    @property
    def activation(self) -> Activation:
        """The function after the last convolution."""
        if self.is_v3:
            return "exp"
        return "relu" if self.max_depth is None else "sigmoid"

    @property
    def depth_kind(self) -> DepthKind:
        """What the output means: inverse depth up to scale and shift, metres, or depth up to scale."""
        if self.variant in ("v1", "v2", "video"):
            return "relative_inverse"
        return "relative_depth" if self.variant == "v3-mono" else "metric"

    @property
    def size_multiple(self) -> int:
        """Pixels of a patch: both sides of an input are multiples of it."""
        return 14

    @property
    def base_size(self) -> int:
        """Pixels of the side that ``resize_method`` fits, as the authors set it."""
        return 504 if self.is_v3 else 518

    @property
    def resize_method(self) -> ResizeMethod:
        """Whether ``base_size`` is the least size of both sides or the greatest."""
        return "upper_bound" if self.is_v3 else "lower_bound"

    @property
    def narrow_beyond(self) -> float | None:
        """Long side over short side from which on the authors shrink ``base_size`` to bound memory, else None."""
        return 1.78 if self.has_temporal_head else None

    @property
    def image_mean(self) -> tuple[float, float, float]:
        """Mean of the RGB input in 0..1, of ImageNet."""
        return (0.485, 0.456, 0.406)

    @property
    def image_std(self) -> tuple[float, float, float]:
        """Standard deviation of the RGB input in 0..1, of ImageNet."""
        return (0.229, 0.224, 0.225)

    @property
    def output_align_corners(self) -> bool:
        """How the authors resize the output to the picture's size."""
        return self.variant not in ("v1", "v3-mono", "v3-metric")

    @property
    def canonical_focal_px(self) -> float | None:
        """Focal length that V3's metric output is meant for, else None.

        Metres are the output times the camera's focal length, in pixels of the network's input, over this one.
        """
        return 300.0 if self.variant == "v3-metric" else None

    def stream_bytes_per_frame(self, height: int, width: int, *, bytes_per_value: int = 4) -> int:
        """Bytes a video feed keeps of one frame at an input of ``height`` by ``width``; it keeps 42 frames at most.

        ``bytes_per_value`` is 4 for float32 weights and 2 for half precision.
        """
        if not self.has_temporal_head:
            return 0
        rows, columns = height // self.size_multiple, width // self.size_multiple
        pixels = rows * columns
        halved = -(-rows // 2) * -(-columns // 2)
        values = (
            self.level_channels[2] * pixels
            + self.level_channels[3] * halved
            + self.fusion_channels * (pixels + 4 * pixels)
        )
        return 2 * values * bytes_per_value  # two attentions at each place
