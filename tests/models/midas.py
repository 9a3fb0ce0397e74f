"""What the tests of the MiDaS families share: the authors' naming, and weights that let a tiny network through its last ReLU."""

import torch
from torch import Tensor, nn

from tests.golden.recipe import seeded

Shapes = dict[str, tuple[int, ...]]


@torch.inference_mode()
def run(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


def assert_gives_depth(model: nn.Module, size_hw: tuple[int, int]) -> None:
    """Run a network without numbers: only shapes are computed, so the largest takes no memory."""
    assert run(model, torch.empty(1, 3, *size_hw, device="meta")).shape == (1, *size_hw)


def seeded_weights(model: nn.Module, salt: int = 0) -> dict[str, Tensor]:
    weights = {
        key: torch.from_numpy(seeded(key, tuple(value.shape), salt)) for key, value in model.state_dict().items()
    }
    return weights | {"head.depth.conv_3.bias": torch.tensor([3.0])}


def parameter_shapes(prefix: str, *shape: int) -> Shapes:
    """Name the weight and the bias of a layer."""
    return {f"{prefix}.weight": shape, f"{prefix}.bias": shape[:1]}


def reassemble_shapes(width: int, level_channels: tuple[int, ...], first_level: int = 1) -> Shapes:
    """Write down the authors' names for the levels from ``first_level``, counted from 1."""
    shapes: Shapes = {}
    for level, (count, resize) in enumerate(zip(level_channels, (4, 2, None, 3), strict=True), start=1):
        if level < first_level:
            continue
        prefix = f"pretrained.act_postprocess{level}"
        shapes |= parameter_shapes(f"{prefix}.0.project.0", width, 2 * width)
        shapes |= parameter_shapes(f"{prefix}.3", count, width, 1, 1)
        if resize is not None:
            shapes |= parameter_shapes(f"{prefix}.4", count, count, resize, resize)
    return shapes


def decoder_shapes(level_channels: tuple[int, ...], channels: int, head_channels: int) -> Shapes:
    """Write down the authors' names for fusion and head."""
    shapes: Shapes = {}
    for level, count in enumerate(level_channels, start=1):
        shapes[f"scratch.layer{level}_rn.weight"] = (channels, count, 3, 3)
        shapes |= parameter_shapes(f"scratch.refinenet{level}.out_conv", channels, channels, 1, 1)
        for unit in (1, 2):
            for conv in (1, 2):
                prefix = f"scratch.refinenet{level}.resConfUnit{unit}.conv{conv}"
                shapes |= parameter_shapes(prefix, channels, channels, 3, 3)
    shapes |= parameter_shapes("scratch.output_conv.0", channels // 2, channels, 3, 3)
    shapes |= parameter_shapes("scratch.output_conv.2", head_channels, channels // 2, 3, 3)
    return shapes | parameter_shapes("scratch.output_conv.4", 1, head_channels, 1, 1)
