"""What a dpt_tiny network is made of. Knows no tensor but the shapes in a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ResizeMethod = Literal["lower_bound", "upper_bound", "minimal", "stretch"]
"""How a picture meets ``base_size``: here the shorter side comes to it, the aspect is kept."""

_SIGNATURE = "image_encoder.stage_8.reduce.conv.weight"
_HEAD_DIM = 64


@dataclass(frozen=True, slots=True)
class Config:
    """The widths and depths of one dpt_tiny network."""

    stem_channels: int
    """Channels of the convolutional stem at half the picture's resolution."""
    stage_channels: tuple[int, int]
    """Channels of the two convolutional stages, at 1/4 and 1/8 of the resolution."""
    stage_depths: tuple[int, int]
    """Residual blocks in each of the two stages."""
    token_dim: int
    """Channels of the tokens at 1/16 of the resolution; a multiple of 64."""
    token_depth: int
    """Transformer blocks; the one in the middle and the last are tapped."""
    mlp_dim: int
    """Hidden channels of each transformer block's MLP."""
    fusion_channels: int
    """Channels of every fusion block."""
    head_channels: int
    """Channels of the head at half the resolution."""

    @classmethod
    def tiny(cls) -> "Config":
        """Return the network of the bundled checkpoint."""
        return cls(
            stem_channels=24,
            stage_channels=(48, 96),
            stage_depths=(2, 2),
            token_dim=192,
            token_depth=6,
            mlp_dim=576,
            fusion_channels=48,
            head_channels=32,
        )

    @property
    def size_multiple(self) -> int:
        """What both sides of an input must be a multiple of, pixels."""
        return 16

    @property
    def base_size(self) -> int:
        """The shorter side at which the bundled weights measured best, pixels."""
        return 160

    @property
    def resize_method(self) -> ResizeMethod:
        """How a picture is brought to the base size."""
        return "lower_bound"

    @property
    def image_mean(self) -> tuple[float, float, float]:
        """What is taken from the RGB channels, in 0..1."""
        return (0.485, 0.456, 0.406)

    @property
    def image_std(self) -> tuple[float, float, float]:
        """What the RGB channels are then divided by."""
        return (0.229, 0.224, 0.225)

    @property
    def block_count(self) -> int:
        """Number of transformer blocks."""
        return self.token_depth

    @property
    def taps(self) -> tuple[int, int]:
        """Blocks (from 0) whose outputs are tapped."""
        return (self.token_depth // 2 - 1, self.token_depth - 1)

    @property
    def heads(self) -> int:
        """Return the number of attention heads, 64 channels each."""
        return self.token_dim // _HEAD_DIM


def matches(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Say whether a checkpoint with these keys and shapes is of this family."""
    return _SIGNATURE in shapes and "head.predict.weight" in shapes


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Read the config from a checkpoint's keys and shapes; KeyError where a part is missing."""
    return Config(
        stem_channels=shapes["patch_embed.conv.weight"][0],
        stage_channels=(
            shapes["image_encoder.stage_4.reduce.conv.weight"][0],
            shapes["image_encoder.stage_8.reduce.conv.weight"][0],
        ),
        stage_depths=(
            _count(shapes, "image_encoder.stage_4.blocks."),
            _count(shapes, "image_encoder.stage_8.blocks."),
        ),
        token_dim=shapes["image_encoder.tokens.conv.weight"][0],
        token_depth=_count(shapes, "image_encoder.blocks."),
        mlp_dim=shapes["image_encoder.blocks.0.expand.weight"][0],
        fusion_channels=shapes["fusion.fuse_4.project.weight"][0],
        head_channels=shapes["head.mix.weight"][0],
    )


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})
