"""A Depth Anything checkpoint in its authors' layout, with few channels and four blocks: loads in milliseconds."""

import re

import torch
from torch import Tensor

from tests.golden import load
from tests.golden.recipe import seeded

_SMALLER = {384: 64, 1152: 192, 1536: 256}


def small_state_dict(golden_name: str = "da2_vits") -> dict[str, Tensor]:
    """Return published keys with small shapes, filled with seeded weights."""
    tensors = {}
    for key, shape in load(golden_name).weights.items():
        block = re.search(r"blocks\.(\d+)\.", key)
        if block is None or int(block[1]) < 4 or "motion_modules" in key:
            small = tuple(_SMALLER.get(length, length) for length in shape)
            tensors[key] = torch.from_numpy(seeded(key, small, 7))
    return tensors


def small_v3_state_dict() -> dict[str, Tensor]:
    """Return the same as a Depth Anything V3 file has it, with a sky branch that never sees sky."""
    published = {}
    for key, tensor in small_state_dict().items():
        if "mask_token" not in key and "refinenet4.resConfUnit1" not in key:
            published[re.sub("^depth_head", "model.head", re.sub("^pretrained", "model.backbone.pretrained", key))] = (
                tensor
            )
    sky = {
        key.replace("output_conv2", "sky_output_conv2"): 0 * value
        for key, value in published.items()
        if "conv2." in key
    }
    return published | {key: value for key, value in sky.items() if "sky_output_conv2" in key}
