"""Depth Anything V1 and V2: the authors' numbers, any size, and what a checkpoint's shapes tell."""

import importlib
import shutil
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dptstream.models import depth_anything
from dptstream.models.depth_anything import Config, Model, config_from_shapes, convert, matches
from tests.golden import load, normalised_batch, seeded_image, seeded_state_dict

RELEASES = {"da1_vits": "v1", "da2_vits": "v2", "da2m_vits_20": "v2-metric-indoor"}
TINY = Config("v2", 64, 4, (16, 16, 32, 32), 16, position_grid=5)


def golden_model(name: str) -> Model:
    config = config_from_shapes(load(name).shapes, variant=RELEASES[name])
    model = Model(config).eval()
    model.load_state_dict(convert(seeded_state_dict(name)))
    return model


@pytest.fixture
def tiny_model() -> Model:
    torch.manual_seed(0)
    model = Model(TINY).eval()
    torch.nn.init.ones_(model.head.depth.conv_3.bias)  # above zero, where the last ReLU lets everything through
    torch.nn.init.normal_(model.image_encoder.position_embedding)
    return model


@torch.inference_mode()
def run(model: Model, images: Tensor) -> Tensor:
    return model(images)


@pytest.mark.parametrize("name", RELEASES)
def test_outputs_are_those_of_the_authors(name: str) -> None:
    golden, model = load(name), golden_model(name)
    forwards = {key: array for key, array in golden.arrays.items() if key.startswith("forward_")}
    assert forwards
    for key, expected in forwards.items():
        height, width = (int(side) for side in key.removeprefix("forward_").split("x"))
        output = run(model, normalised_batch(golden, seeded_image(height, width, 1)))
        assert output.shape == (1, height, width)
        assert np.abs(output[0].numpy() - expected).max() < 1e-4 * expected.std()


def test_a_batch_gives_what_its_pictures_give_alone(tiny_model: Model) -> None:
    images = torch.randn(3, 3, 70, 42)
    together = run(tiny_model, images)
    alone = torch.cat([run(tiny_model, image[None]) for image in images])
    assert together.shape == (3, 70, 42)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size_hw", [(14, 14), (14, 98), (98, 42), (70, 70), (154, 126)])
def test_every_multiple_of_14_works_odd_grids_included(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    output = run(tiny_model, torch.randn(1, 3, *size_hw))
    assert output.shape == (1, *size_hw)
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("size_hw", [(98, 100), (100, 98), (0, 98), (7, 14)])
def test_impossible_sizes_are_refused(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=f"images are {size_hw[1]}x{size_hw[0]}; both sides must be positive multiples of 14"
    ):
        tiny_model(torch.zeros(1, 3, *size_hw))


@pytest.mark.parametrize("shape", [(3, 14, 14), (1, 1, 14, 14)])
def test_what_is_no_batch_of_pictures_is_refused(tiny_model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\)"):
        tiny_model(torch.zeros(shape))


def test_the_metric_output_lies_between_zero_and_max_depth() -> None:
    torch.manual_seed(0)
    config = Config("v2-metric-outdoor", 64, 4, (16, 16, 32, 32), 16, position_grid=5, max_depth=7.0)
    output = run(Model(config), 100 * torch.randn(1, 3, 28, 28))
    assert 0 < output.min() < output.max() < 7


@pytest.mark.parametrize("preset", [Config.vits, Config.vitb, Config.vitl, Config.vitg])
@pytest.mark.parametrize("variant", ["v1", "v2", "v2-metric-indoor", "v2-metric-outdoor"])
def test_shapes_give_back_the_preset(preset, variant) -> None:
    config = preset(variant)
    with torch.device("meta"):
        model = Model(config)
    assert config_from_shapes(published_shapes(model), variant=variant) == config


def published_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Invert the naming for the entries that sizes are read from."""
    names = {
        "patch_embed.projection": "pretrained.patch_embed.proj",
        "image_encoder.position_embedding": "pretrained.pos_embed",
        "image_encoder.blocks": "pretrained.blocks",
        "scale_": "ls",
        "mlp.expand": "mlp.w12" if model.config.mlp_kind == "swiglu" else "mlp.fc1",
        "mlp.contract": "mlp.w3" if model.config.mlp_kind == "swiglu" else "mlp.fc2",
        "reassemble.projections": "depth_head.projects",
        "fusion.adapters.0": "depth_head.scratch.layer1_rn",
        "head.depth.conv_2": "depth_head.scratch.output_conv2.0",
        "head.depth.conv_3": "depth_head.scratch.output_conv2.2",
    }
    shapes = {}
    for key, tensor in model.state_dict().items():
        published = key
        for ours, theirs in names.items():
            published = published.replace(ours, theirs)
        shapes[published + (".gamma" if ".ls" in published else "")] = tuple(tensor.shape)
    return shapes


def test_the_presets_have_the_authors_numbers_of_parameters() -> None:
    counts = {}
    for preset in (Config.vits, Config.vitb, Config.vitl, Config.vitg):
        with torch.device("meta"):
            counts[preset.__name__] = sum(p.numel() for p in Model(preset()).parameters()) / 1e6
    # The published files hold a mask token and an unused convolution unit more: 24.79, 97.47, 335.32 and 1258.13 million.
    assert {name: round(count, 1) for name, count in counts.items()} == {
        "vits": 24.7,
        "vitb": 97.2,
        "vitl": 334.1,
        "vitg": 1255.5,
    }


def test_releases_tap_the_blocks_their_authors_tapped() -> None:
    assert Config.vits("v1").taps == (8, 9, 10, 11)
    assert Config.vitl("v1").taps == (20, 21, 22, 23)
    assert Config.vitb("v2").taps == (2, 5, 8, 11)
    assert Config.vitl("v2").taps == (4, 11, 17, 23)
    assert Config.vitg("v2").taps == (9, 19, 29, 39)


def test_every_published_entry_is_used_or_known_to_be_unused() -> None:
    golden = load("da2_vits")
    converted = convert(seeded_state_dict("da2_vits"))
    with torch.device("meta"):
        expected = Model(Config.vits()).state_dict()
    assert {key: tensor.shape for key, tensor in converted.items()} == {
        key: tensor.shape for key, tensor in expected.items()
    }
    assert len(golden.weights) - len(converted) == 5  # mask token, and four of the unit without an input


def test_an_entry_of_no_rule_stays_for_the_strict_load_to_report() -> None:
    assert list(convert({"pretrained.surprise": torch.zeros(1)})) == ["pretrained.surprise"]


def test_only_its_own_checkpoints_match() -> None:
    assert matches(load("da1_vits").shapes)
    for other in ("midas_beitb16_384", "midas_swin2t16_256", "midas_vitb_rn50_384"):
        assert not matches(load(other).shapes)
    assert not matches({})


def test_shapes_of_another_family_are_refused() -> None:
    with pytest.raises(ValueError, match="no Depth Anything checkpoint"):
        config_from_shapes(load("midas_beitb16_384").shapes)


def test_an_unknown_variant_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ValueError, match="'v9'; this checkpoint can be: v2, v1, v2-metric-indoor, v2-metric-outdoor"):
        config_from_shapes(load("da2_vits").shapes, variant="v9")


def test_a_position_embedding_that_is_no_square_is_refused() -> None:
    shapes = load("da2_vits").shapes | {"pretrained.pos_embed": (1, 1369, 384)}
    with pytest.raises(ValueError, match="1368 patches; expected a square"):
        config_from_shapes(shapes)


def test_a_truncated_checkpoint_is_refused() -> None:
    shapes = {key: shape for key, shape in load("da2_vits").shapes.items() if "projects.2" not in key}
    with pytest.raises(ValueError, match=r"no usable entry for 'reassemble\.projections\.2\.weight'"):
        config_from_shapes(shapes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "v3"}, "variant is 'v3'; allowed: v1, v2"),
        ({"embed_dim": 100}, "embed_dim is 100; it must be a multiple of 64"),
        ({"block_count": 3}, "block_count is 3"),
        ({"max_depth": 20.0}, "variant 'v2' has none"),
        ({"variant": "v2-metric-indoor", "max_depth": 0.0}, "must be a positive number of metres"),
    ],
)
def test_impossible_configs_are_refused(arguments: dict[str, object], message: str) -> None:
    fields = {"variant": "v2", "embed_dim": 64, "block_count": 4, "level_channels": (8,) * 4, "fusion_channels": 8}
    with pytest.raises(ValueError, match=message):
        Config(**(fields | arguments))


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TINY.embed_dim = 128


def test_positions_are_computed_once_per_size_and_bounded(tiny_model: Model) -> None:
    encoder = tiny_model.image_encoder
    with torch.inference_mode():
        first = encoder.positions((3, 4))
        assert encoder.positions((3, 4)) is first
        for width in range(1, 20):
            encoder.positions((2, width))
        assert encoder.positions((3, 4)) is not first
    assert len(encoder._position_tables._tables) == 8
    assert not any("table" in key for key in tiny_model.state_dict())


def test_positions_follow_new_weights_and_precision(tiny_model: Model) -> None:
    encoder = tiny_model.image_encoder
    with torch.no_grad():
        before = encoder.positions((3, 4)).clone()
        doubled = {key: 2 * tensor for key, tensor in tiny_model.state_dict().items()}
        tiny_model.load_state_dict(doubled)
        torch.testing.assert_close(encoder.positions((3, 4)), 2 * before)
        assert tiny_model.to(torch.bfloat16).image_encoder.positions((3, 4)).dtype == torch.bfloat16


def test_positions_learn(tiny_model: Model) -> None:
    tiny_model.train()
    tiny_model(torch.randn(1, 3, 28, 42)).sum().backward()
    gradient = tiny_model.image_encoder.position_embedding.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_features_lead_to_the_same_depth(tiny_model: Model) -> None:
    images = torch.randn(2, 3, 42, 56)
    features = tiny_model.features(images)
    assert features.token_grids_hw == ((3, 4),) * 4
    assert torch.equal(features.depth_bhw, run(tiny_model, images))
    assert [tuple(tokens.shape) for tokens in features.tokens_bnc] == [(2, 13, 64)] * 4
    assert [tuple(level.shape) for level in features.levels_bchw] == [
        (2, 16, 12, 16),
        (2, 16, 6, 8),
        (2, 32, 3, 4),
        (2, 32, 2, 2),
    ]
    assert [tuple(fused.shape[2:]) for fused in features.fused_bchw] == [(24, 32), (12, 16), (6, 8), (3, 4)]
    assert features.attention_bhqn is None


def test_features_hold_the_attention_of_a_chosen_block() -> None:
    torch.manual_seed(0)
    model = Model(Config("v2", 128, 4, (8, 8, 8, 8), 8, position_grid=2)).eval()
    seen = []
    attention = model.image_encoder.blocks[2].attention
    attention.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    features = model.features(torch.randn(1, 3, 28, 42), attention_block=2)
    weights = features.attention_bhqn
    assert weights is not None
    assert weights.shape == (1, 2, 7, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(1, 2, 7))
    tokens, output = seen[-1]
    mixed = (weights @ attention.split(tokens)[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.projection(mixed), output)


@pytest.mark.parametrize("block", [-1, 4])
def test_attention_of_a_block_that_is_not_there_is_refused(tiny_model: Model, block: int) -> None:
    with pytest.raises(ValueError, match=f"block is {block}; this encoder has blocks 0 to 3"):
        tiny_model.features(torch.zeros(1, 3, 14, 14), attention_block=block)


def test_a_level_can_be_scaled_and_hidden(tiny_model: Model) -> None:
    images = torch.randn(1, 3, 42, 42)
    whole = tiny_model.features(images)
    hidden = tiny_model.features(images, level_scales=(0, 1, 2, 1))
    assert not hidden.levels_bchw[0].any()
    assert torch.equal(hidden.levels_bchw[2], 2 * whole.levels_bchw[2])
    assert torch.equal(hidden.fused_bchw[3], whole.fused_bchw[3])  # nothing coarser than what was changed
    assert not torch.equal(hidden.depth_bhw, whole.depth_bhw)


HALF_PRECISION_ERROR = {torch.bfloat16: 0.03, torch.float16: 0.005}
"""Mean difference to float32, in units of the output's standard deviation."""


@pytest.mark.parametrize("dtype", HALF_PRECISION_ERROR)
@pytest.mark.parametrize("name", [*RELEASES, "vda_vits"])
def test_half_precision_is_finite_and_near(name: str, dtype: torch.dtype) -> None:
    golden = load(name)
    model = Model(config_from_shapes(golden.shapes, variant=RELEASES.get(name))).eval()
    model.load_state_dict(convert(seeded_state_dict(name)))
    images = normalised_batch(golden, seeded_image(70, 98, 1))
    expected = run(model, images)
    output = run(model.to(dtype), images.to(dtype))
    assert output.dtype == torch.float32
    assert torch.isfinite(output).all()
    assert (output - expected).abs().mean() < HALF_PRECISION_ERROR[dtype] * expected.std()
    levels = len(torch.unique(output))
    assert levels > 0.9 * output.numel() * (output > 0).float().mean()  # the last convolution leaves no steps


def test_the_folder_works_on_its_own(tmp_path, monkeypatch) -> None:
    shutil.copytree(Path(depth_anything.__file__).parent, tmp_path / "copied_family")
    monkeypatch.syspath_prepend(tmp_path)
    copied = importlib.import_module("copied_family")
    try:
        model = copied.Model(copied.Config("v2", 64, 4, (8, 8, 8, 8), 8, position_grid=2))
        assert model(torch.zeros(1, 3, 28, 14)).shape == (1, 28, 14)
        assert Path(copied.Model.forward.__code__.co_filename).is_relative_to(tmp_path)
    finally:
        for module in [name for name in sys.modules if name.startswith("copied_family")]:
            del sys.modules[module]
