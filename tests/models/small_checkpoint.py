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
