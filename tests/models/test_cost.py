"""What a network costs, against figures counted by hand and by others."""

import gc

import pytest
import torch

from dptstream.models import depth_anything
from dptstream.models.cost import PARTS, count_cost, parameter_counts, weight_bytes
from tests.models.families import NETWORKS, small_network, small_size_hw


def network_without_weights(size: str) -> depth_anything.Model:
    with torch.device("meta"):
        return depth_anything.Model(getattr(depth_anything.Config, size)("v2"))


@pytest.mark.parametrize(
    ("size", "size_hw", "gigaflops", "attention"),
    [
        ("vits", (252, 448), 40.0, 6.1),
        ("vits", (518, 924), 253.8, 110.0),
        ("vitb", (252, 448), 143.4, 12.3),
        ("vitb", (518, 924), 775.3, 220.0),
        ("vitl", (252, 448), 504.0, 32.7),
        ("vitl", (518, 924), 2583.1, 586.7),
    ],
)
def test_operations_are_those_that_were_counted_for_the_published_networks(
    size: str, size_hw: tuple[int, int], gigaflops: float, attention: float
) -> None:
    cost = count_cost(network_without_weights(size), size_hw)
    assert cost.flops / 1e9 == pytest.approx(gigaflops, abs=0.1)
    assert cost.attention_flops / 1e9 == pytest.approx(attention, abs=0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_add_up_to_the_whole(name: str) -> None:
    network = small_network(name)
    cost, counts = count_cost(network, small_size_hw(name)), parameter_counts(network)
    assert sum(cost.part_flops.values()) == cost.flops
    assert 0 < cost.attention_flops < cost.flops
    assert list(cost.part_flops) == list(counts) == [part for part in PARTS if part in counts]
    assert sum(counts.values()) == sum(weight.numel() for weight in network.parameters())


def test_attention_grows_with_the_square_of_the_tokens() -> None:
    network = small_network("tiny")  # no class token: four times the area is four times the tokens
    small, large = (count_cost(network, size_hw) for size_hw in ((64, 96), (128, 192)))
    assert large.attention_flops == 16 * small.attention_flops
    rest_small, rest_large = (cost.flops - cost.attention_flops for cost in (small, large))
    assert rest_large == 4 * rest_small


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_take_memory_by_their_size_and_precision(name: str) -> None:
    network = small_network(name)
    height, width = small_size_hw(name)
    cost = count_cost(network, (height, width))
    kept = cost.activation_bytes
    assert kept["float32"] > 3 * height * width * 4
    assert kept["float32"] / 2 <= kept["float16"] < kept["float32"]
    assert kept["float16"] == kept["bfloat16"]
    gc.collect()
    assert count_cost(network, (height, width)) == cost


def test_weights_take_four_bytes_or_two() -> None:
    network = small_network("vit")
    count = sum(weight.numel() for weight in network.parameters())
    assert weight_bytes(network) == {"float32": 4 * count, "float16": 2 * count, "bfloat16": 2 * count}


def test_a_size_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 14"):
        count_cost(small_network("v2"), (50, 84))
