"""DPT-Large and DPT-Hybrid: the authors' numbers, any size, and what a checkpoint's shapes tell."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from dptstream.models.midas_vit import Config, Model, config_from_shapes, convert, matches
from tests.golden import load, normalised_batch, seeded_image, seeded_state_dict
from tests.models.midas import (
    Shapes,
    assert_gives_depth,
    decoder_shapes,
    parameter_shapes,
    reassemble_shapes,
    run,
    seeded_weights,
)

GOLDEN = "midas_vitb_rn50_384"
TINY_LARGE = Config(
    embed_dim=64,
    block_count=4,
    head_count=1,
    taps=(0, 1, 2, 3),
    level_channels=(8, 16, 32, 32),
    base_size=64,
    fusion_channels=16,
    head_channels=8,
)
TINY_HYBRID = Config(
    embed_dim=64,
    block_count=4,
    head_count=1,
    taps=(2, 3),
    level_channels=(128, 256, 32, 32),
    base_size=64,
    resnet_depths=(1, 2, 1),
    resnet_width=32,
    fusion_channels=16,
    head_channels=8,
)


@pytest.fixture(params=[TINY_LARGE, TINY_HYBRID], ids=["large", "hybrid"])
def tiny_model(request: pytest.FixtureRequest) -> Model:
    model = Model(request.param).eval()
    model.load_state_dict(seeded_weights(model))
    return model


def test_outputs_of_the_hybrid_are_those_of_the_authors() -> None:
    golden = load(GOLDEN)
    model = Model(config_from_shapes(golden.shapes)).eval()
    model.load_state_dict(convert(seeded_state_dict(GOLDEN)))
    assert golden.arrays
    for key, expected in golden.arrays.items():
        height, width = (int(side) for side in key.removeprefix("forward_").split("x"))
        output = run(model, normalised_batch(golden, seeded_image(height, width, 1)))
        assert output.shape == (1, height, width)
        # The authors' own code agrees with itself to 1e-4 only: these weights amplify rounding.
        assert np.abs(output[0].numpy() - expected).max() < 5e-4 * expected.std()


def test_a_batch_gives_what_its_pictures_give_alone(tiny_model: Model) -> None:
    images = torch.randn(3, 3, 64, 96)
    alone = torch.cat([run(tiny_model, image[None]) for image in images])
    torch.testing.assert_close(run(tiny_model, images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size_hw", [(64, 64), (96, 64), (32, 128), (16, 16), (48, 80)])
def test_every_multiple_of_a_patch_works_odd_grids_included(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    output = run(tiny_model, torch.randn(1, 3, *size_hw))
    assert output.shape == (1, *size_hw)
    assert output.dtype == torch.float32
    assert torch.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("size_hw", [(64, 65), (63, 64), (0, 64), (8, 16)])
def test_impossible_sizes_are_refused(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"picture is {size_hw[0]}x{size_hw[1]} .* multiples of 16: resize it first"):
        tiny_model(torch.zeros(1, 3, *size_hw))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 4, 64, 64)])
def test_what_is_no_batch_of_pictures_is_refused(tiny_model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give \(B, 3, H, W\)"):
        tiny_model(torch.zeros(shape))


@pytest.mark.parametrize(("dtype", "largest_error"), [(torch.bfloat16, 0.4), (torch.float16, 0.05)])
def test_half_precision_stays_close(tiny_model: Model, dtype: torch.dtype, largest_error: float) -> None:
    images = torch.randn(1, 3, 64, 96)
    exact = run(tiny_model, images)
    rounded = run(deepcopy(tiny_model).to(dtype), images.to(dtype))
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < largest_error * exact.std()


def test_resized_positions_never_outlive_their_weights(tiny_model: Model) -> None:
    image = torch.randn(1, 3, 64, 96)
    keys = list(tiny_model.state_dict())
    run(tiny_model, image)
    assert len(tiny_model.image_encoder.position.cache) == 1
    assert list(tiny_model.state_dict()) == keys
    other = seeded_weights(tiny_model, salt=1)
    fresh = Model(tiny_model.config).eval()
    fresh.load_state_dict(other)
    tiny_model.load_state_dict(other)
    torch.testing.assert_close(run(tiny_model, image), run(fresh, image), rtol=0, atol=0)


def test_positions_are_resized_bilinearly_and_the_class_token_keeps_its_own() -> None:
    encoder = Model(TINY_LARGE).image_encoder
    rows = torch.arange(4.0)[:, None].expand(4, 4)
    with torch.no_grad():
        encoder.position.vectors[0, 1:] = rows.reshape(16, 1)
        encoder.position.vectors[0, 0] = 7.0
        resized = encoder.position((2, 4), torch.float32)
    torch.testing.assert_close(resized[0, :, 0], torch.tensor([7.0] + [0.5] * 4 + [2.5] * 4))


def test_the_hybrids_convolutions_are_standardised_once_on_loading() -> None:
    published = {key: torch.randn(shape) + 3 for key, shape in published_shapes(TINY_HYBRID).items()}
    for name, weight in convert(published).items():
        if name.startswith("patch_embed.resnet.") and weight.ndim == 4:
            flat = weight.flatten(1)
            torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), rtol=0, atol=1e-5)
            torch.testing.assert_close(flat.var(1, correction=0), torch.ones(len(flat)))
    kept = convert(published)["patch_embed.projection.weight"]
    assert kept is published["pretrained.model.patch_embed.proj.weight"]


def published_shapes(config: Config, *, classes: int = 1000) -> Shapes:
    """Write down the keys and shapes of the authors' file for a config, from their naming alone."""
    width = config.embed_dim
    block = {
        **parameter_shapes("attn.qkv", 3 * width, width),
        **parameter_shapes("attn.proj", width, width),
        **parameter_shapes("mlp.fc1", 4 * width, width),
        **parameter_shapes("mlp.fc2", width, 4 * width),
        **parameter_shapes("norm1", width),
        **parameter_shapes("norm2", width),
    }
    hybrid = config.resnet_depths is not None
    model = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, config.base_grid**2 + 1, width),
        **(resnet_shapes(config) if hybrid else parameter_shapes("patch_embed.proj", width, 3, 16, 16)),
        **{f"blocks.{index}.{key}": shape for index in range(config.block_count) for key, shape in block.items()},
        **parameter_shapes("norm", width),
        **parameter_shapes("head", classes, width),
    }
    shapes = {f"pretrained.model.{key}": shape for key, shape in model.items()}
    shapes |= reassemble_shapes(width, config.level_channels, first_level=3 if hybrid else 1)
    return shapes | decoder_shapes(config.level_channels, config.fusion_channels, config.head_channels)


def resnet_shapes(config: Config) -> Shapes:
    stem, channels = config.resnet_width, config.resnet_width
    shapes: Shapes = {"stem.conv.weight": (stem, 3, 7, 7), **parameter_shapes("stem.norm", stem)}
    for stage, depth in enumerate(config.resnet_depths or ()):
        middle = config.resnet_width * 2**stage
        for index in range(depth):
            prefix = f"stages.{stage}.blocks.{index}"
            if index == 0:
                shapes[f"{prefix}.downsample.conv.weight"] = (4 * middle, channels, 1, 1)
                shapes |= parameter_shapes(f"{prefix}.downsample.norm", 4 * middle)
            shapes[f"{prefix}.conv1.weight"] = (middle, channels, 1, 1)
            shapes[f"{prefix}.conv2.weight"] = (middle, middle, 3, 3)
            shapes[f"{prefix}.conv3.weight"] = (4 * middle, middle, 1, 1)
            for norm, count in ((1, middle), (2, middle), (3, 4 * middle)):
                shapes |= parameter_shapes(f"{prefix}.norm{norm}", count)
            channels = 4 * middle
    shapes = {f"patch_embed.backbone.{key}": shape for key, shape in shapes.items()}
    return shapes | parameter_shapes("patch_embed.proj", config.embed_dim, channels, 1, 1)


def test_the_written_down_shapes_are_those_of_the_published_file() -> None:
    assert published_shapes(Config.hybrid_384()) == load(GOLDEN).shapes


@pytest.mark.parametrize(
    ("config", "key_count", "tensor_bytes"),
    [(Config.large_384(), 368, 1_376_221_860), (Config.hybrid_384(), 368, 492_587_940)],
    ids=["large", "hybrid"],
)
def test_every_published_size_is_read_from_its_shapes_and_loads(
    config: Config, key_count: int, tensor_bytes: int
) -> None:
    shapes = published_shapes(config)
    assert len(shapes) == key_count
    assert sum(4 * np.prod(shape) for shape in shapes.values()) == tensor_bytes
    assert_loads(config, shapes)


@pytest.mark.parametrize("config", [TINY_LARGE, TINY_HYBRID], ids=["large", "hybrid"])
def test_other_sizes_are_read_from_their_shapes_as_well(config: Config) -> None:
    assert_loads(config, published_shapes(config))


def assert_loads(config: Config, shapes: Shapes) -> None:
    assert matches(shapes)
    assert config_from_shapes(shapes) == config
    with torch.device("meta"):
        model = Model(config)
        published: dict[str, Tensor] = {key: torch.empty(shape) for key, shape in shapes.items()}
    model.load_state_dict(convert(published), assign=True)
    assert_gives_depth(model, (config.base_size, 96))


def test_names_of_the_published_sizes() -> None:
    assert [Config.large_384().variant, Config.hybrid_384().variant] == ["large_384", "hybrid_384"]


def test_left_over_and_missing_keys_stop_a_load() -> None:
    published = {key: torch.zeros(shape) for key, shape in published_shapes(TINY_HYBRID).items()}
    with pytest.raises(RuntimeError, match=r"Unexpected key.*scratch\.surprise"):
        Model(TINY_HYBRID).load_state_dict(convert(published | {"scratch.surprise": torch.zeros(1)}))
    del published["pretrained.model.patch_embed.backbone.stem.norm.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*resnet\.stem\.norm\.bias"):
        Model(TINY_HYBRID).load_state_dict(convert(published))


def test_shapes_that_make_no_network_are_refused() -> None:
    shapes = published_shapes(TINY_LARGE)
    with pytest.raises(ValueError, match="position embedding has 16 rows"):
        config_from_shapes(shapes | {"pretrained.model.pos_embed": (1, 16, 64)})
    with pytest.raises(ValueError, match="encoder has 5 blocks"):
        config_from_shapes(shapes | {"pretrained.model.blocks.4.norm1.weight": (64,)})
    with pytest.raises(ValueError, match="tokens have 65 channels"):
        config_from_shapes(shapes | {"pretrained.model.patch_embed.proj.weight": (65, 3, 16, 16)})
    del shapes["scratch.layer2_rn.weight"]
    with pytest.raises(ValueError, match=r"fusion\.adapters\.1\.weight.*may be cut off"):
        config_from_shapes(shapes)


def test_a_segmentation_network_of_the_same_authors_does_not_match() -> None:
    shapes = published_shapes(TINY_LARGE)
    assert matches(shapes)
    assert not matches(shapes | {"scratch.refinenet1.resConfUnit1.bn1.weight": (16,)})


@pytest.mark.parametrize("other", ["midas_swin2t16_256", "midas_beitb16_384", "da2_vits"])
def test_other_families_do_not_match(other: str) -> None:
    assert not matches(load(other).shapes)
