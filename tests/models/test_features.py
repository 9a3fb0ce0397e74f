"""Looking inside: every family shows the same things, and they are the very things its depth comes from."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dptstream.models.preprocess import Preprocessing
from tests.models.families import NETWORKS, WITHOUT_CLASS_TOKEN, small_model, small_network, small_size_hw

WITH_CLASS_TOKEN = [name for name in NETWORKS if name not in WITHOUT_CLASS_TOKEN]


def pictures(name: str, count: int = 1) -> Tensor:
    return torch.randn(count, 3, *small_size_hw(name), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_features_lead_to_the_depth_that_the_network_gives(name: str) -> None:
    network, images = small_network(name), pictures(name, 2)
    with torch.no_grad():
        expected = network(images)
    features = network.features(images)
    assert expected.std() > 0
    torch.testing.assert_close(features.depth_bhw, expected)
    assert features.attention_bhqn is None
    assert features.attention_grid_hw is None


@pytest.mark.parametrize("name", NETWORKS)
def test_levels_halve_and_fusion_ends_at_the_head(name: str) -> None:
    features = small_network(name).features(pictures(name))
    sizes = [tuple(level.shape[2:]) for level in features.levels_bchw]
    assert len(sizes) == len(features.fused_bchw) == 4
    for (height, width), coarser in pairwise(sizes):
        assert coarser == (-(-height // 2), -(-width // 2))
    areas = [fused.shape[2] * fused.shape[3] for fused in features.fused_bchw]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_tokens_are_one_a_patch_and_the_class_token_where_there_is_one(name: str) -> None:
    network = small_network(name)
    features = network.features(pictures(name))
    class_tokens = 0 if name in WITHOUT_CLASS_TOKEN else 1
    assert len(features.tokens_bnc) == len(features.token_grids_hw) == len(network.config.taps)
    for tokens, (rows, columns) in zip(features.tokens_bnc, features.token_grids_hw, strict=True):
        assert tokens.shape[1] == class_tokens + rows * columns


@pytest.mark.parametrize("block", [0, 1, 3])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "swinv2"])
def test_attention_is_what_the_block_mixes_values_with(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, seen = small_network(name), pictures(name, 2), []
    attend = F.scaled_dot_product_attention

    def spy(query: Tensor, key: Tensor, value: Tensor, **options: Tensor) -> Tensor:
        mixed = attend(query, key, value, **options)
        seen.append((value, mixed))
        return mixed

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    with torch.no_grad():
        network(images)
    value, mixed = seen[block]
    weights = network.features(images, attention_block=block).attention_bhqn
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:3]))
    torch.testing.assert_close(weights @ value, mixed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", range(8))
def test_attention_of_windows_is_what_the_block_mixes_values_with_over_the_whole_grid(block: int) -> None:
    network, images = small_network("swinv2"), pictures("swinv2", 2)
    attention = [part for stage in network.image_encoder.stages for part in stage.blocks][block].attention
    seen: list[tuple[Tensor, Tensor]] = []
    attention.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    features = network.features(images, attention_block=block)
    tokens_bhwc, mixed_bhwc = seen[-1]
    weights = features.attention_bhqn
    assert features.attention_grid_hw == tuple(tokens_bhwc.shape[1:3])
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:3]))
    values_bnc = attention.qkv(tokens_bhwc).flatten(1, 2).chunk(3, dim=-1)[2]
    values_bhnc = values_bnc.unflatten(2, (attention.heads, -1)).transpose(1, 2)
    expected = mixed_bhwc.flatten(1, 2).unflatten(2, (attention.heads, -1)).transpose(1, 2)
    torch.testing.assert_close(weights @ values_bhnc, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_attention_of_a_point_is_that_of_the_patch_under_it(name: str) -> None:
    network, images = small_network(name), pictures(name)
    whole = network.features(images, attention_block=2)
    rows, columns = whole.attention_grid_hw
    point = ((columns - 0.5) / columns, 0.5 / rows)  # the last patch of the first row
    at = network.features(images, attention_block=2, attention_at=point).attention_bhqn
    row = columns - 1 + (whole.attention_bhqn.shape[3] - rows * columns)
    torch.testing.assert_close(at, whole.attention_bhqn[:, :, row : row + 1])


@pytest.mark.parametrize("name", WITH_CLASS_TOKEN)
def test_the_attention_of_the_class_token_is_the_first_row(name: str) -> None:
    network, images = small_network(name), pictures(name)
    whole = network.features(images, attention_block=3).attention_bhqn
    at = network.features(images, attention_block=3, attention_at="class").attention_bhqn
    torch.testing.assert_close(at, whole[:, :, :1])


@pytest.mark.parametrize("name", WITHOUT_CLASS_TOKEN)
def test_a_class_token_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="this encoder has no class token"):
        small_network(name).features(pictures(name), attention_block=0, attention_at="class")


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_and_points_that_are_not_there_are_refused(name: str) -> None:
    network, images = small_network(name), pictures(name)
    last = network.config.block_count - 1
    assert network.config.taps[-1] == last
    for block in (-1, last + 1):
        with pytest.raises(ValueError, match=f"block is {block}; this encoder has blocks 0 to {last}"):
            network.features(images, attention_block=block)
    with pytest.raises(ValueError, match=r"the point is \(0.5, 1.0\)"):
        network.features(images, attention_block=0, attention_at=(0.5, 1.0))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_level_can_be_scaled_and_hidden(name: str) -> None:
    network, images = small_network(name), pictures(name)
    whole = network.features(images)
    changed = network.features(images, level_scales=(0, 1, 2, 1))
    assert not changed.levels_bchw[0].any()
    torch.testing.assert_close(changed.levels_bchw[2], 2 * whole.levels_bchw[2])
    torch.testing.assert_close(changed.fused_bchw[3], whole.fused_bchw[3])  # coarser than all that was changed
    assert not torch.allclose(changed.fused_bchw[2], whole.fused_bchw[2])
    assert not torch.equal(changed.depth_bhw, whole.depth_bhw)


def test_a_loaded_model_shows_the_features_of_the_pictures_it_pads() -> None:
    model = small_model("v2", Preprocessing(fit="pad"))
    features = model.features(torch.randn(1, 3, 50, 80), attention_block=1, attention_at="class")
    assert features.token_grids_hw[0] == (4, 6)
    assert features.attention_bhqn.shape == (1, 2, 1, 25)
