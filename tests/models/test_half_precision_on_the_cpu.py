import copy

import pytest
import torch

from dptstream.models.loading import place
from dptstream.models.probe import difference, probe_picture
from dptstream.models.runtime import TOLERANCES

from .families import NETWORKS, small_network, small_size_hw


@pytest.mark.parametrize("name", list(NETWORKS))
@torch.no_grad()
def test_bfloat16_gives_the_depth_of_float32_within_its_tolerance(name: str) -> None:
    network, image_1chw = small_network(name), probe_picture(small_size_hw(name))
    half = place(copy.deepcopy(network), "cpu", torch.bfloat16)
    kernels = [weight for weight in half.parameters() if weight.ndim == 4 and min(weight.shape) > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
    found = half(image_1chw.bfloat16())
    assert found.dtype == torch.float32
    assert difference(found, network(image_1chw)).mean <= TOLERANCES["bfloat16"]
