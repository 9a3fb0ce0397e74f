"""MiDaS 3.1 BEiT: the authors' numbers, any size, the kept position bias, and what a checkpoint's shapes tell."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from dptstream.models.midas_beit import Config, Model, config_from_shapes, convert, matches
from dptstream.models.midas_beit.table_cache import TableCache
from tests.golden import load, normalised_batch, seeded_image, seeded_state_dict
from tests.models.midas import (
    assert_gives_depth,
    decoder_shapes,
    parameter_shapes,
    reassemble_shapes,
    run,
    seeded_weights,
)

GOLDEN = "midas_beitb16_384"
TINY = Config(
    embed_dim=32,
    block_count=4,
    head_count=2,
    taps=(0, 1, 2, 3),
    level_channels=(8, 16, 32, 32),
    base_size=64,
    fusion_channels=16,
    head_channels=8,
)


@pytest.fixture
def tiny_model() -> Model:
    model = Model(TINY).eval()
    model.load_state_dict(seeded_weights(model))
    return model


def test_outputs_are_those_of_the_authors() -> None:
    golden = load(GOLDEN)
    model = Model(config_from_shapes(golden.shapes)).eval()
    model.load_state_dict(convert(seeded_state_dict(GOLDEN)))
    assert golden.arrays
    for key, expected in golden.arrays.items():
        height, width = (int(side) for side in key.removeprefix("forward_").split("x"))
        output = run(model, normalised_batch(golden, seeded_image(height, width, 1)))
        assert output.shape == (1, height, width)
        assert np.abs(output[0].numpy() - expected).max() < 1e-4 * expected.std()


def test_a_batch_gives_what_its_pictures_give_alone(tiny_model: Model) -> None:
    images = torch.randn(3, 3, 64, 96)
    alone = torch.cat([run(tiny_model, image[None]) for image in images])
    torch.testing.assert_close(run(tiny_model, images), alone, rtol=1e-4, atol=1e-5)


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


@pytest.mark.parametrize(("dtype", "largest_error"), [(torch.bfloat16, 0.2), (torch.float16, 0.02)])
def test_half_precision_stays_close(tiny_model: Model, dtype: torch.dtype, largest_error: float) -> None:
    images = torch.randn(1, 3, 64, 96)
    exact = run(tiny_model, images)
    rounded = run(deepcopy(tiny_model).to(dtype), images.to(dtype))
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < largest_error * exact.std()


def kept(model: Model) -> list[int]:
    return [len(module) for module in model.modules() if isinstance(module, TableCache)]


def test_position_biases_are_kept_for_the_last_two_sizes_and_change_no_number(tiny_model: Model) -> None:
    images = [torch.randn(1, 3, *size_hw) for size_hw in ((64, 64), (32, 64), (64, 32))]
    first = [run(tiny_model, image) for image in images]
    assert kept(tiny_model) == [2] * TINY.block_count
    for image, expected in zip(images, first, strict=True):
        torch.testing.assert_close(run(tiny_model, image), expected, rtol=0, atol=0)
    assert kept(tiny_model) == [2] * TINY.block_count


def test_a_kept_bias_is_used_and_not_computed_again(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(1, 3, 64, 64)
    expected = run(tiny_model, image)
    monkeypatch.setattr(torch.nn.functional, "interpolate", _only_for_pictures(torch.nn.functional.interpolate))
    torch.testing.assert_close(run(tiny_model, image), expected, rtol=0, atol=0)
    with pytest.raises(AssertionError, match="bias resized"):
        run(tiny_model, torch.randn(1, 3, 32, 64))


def _only_for_pictures(interpolate):
    def checked(inputs: Tensor, *args: object, **kwargs: object) -> Tensor:
        assert inputs.shape[1] != TINY.head_count, "bias resized"
        return interpolate(inputs, *args, **kwargs)

    return checked


def test_kept_biases_never_outlive_their_weights(tiny_model: Model) -> None:
    image = torch.randn(1, 3, 64, 96)
    run(tiny_model, image)
    other = seeded_weights(tiny_model, salt=1)
    fresh = Model(TINY).eval()
    fresh.load_state_dict(other)
    expected = run(fresh, image)

    for assign in (False, True):
        model = deepcopy(tiny_model)
        model.load_state_dict(other, assign=assign)
        torch.testing.assert_close(run(model, image), expected, rtol=0, atol=0)
    with torch.no_grad():
        for key, parameter in tiny_model.named_parameters():
            parameter.copy_(other[key])
    torch.testing.assert_close(run(tiny_model, image), expected, rtol=0, atol=0)


def test_kept_biases_follow_precision_and_stay_out_of_the_state_dict(tiny_model: Model) -> None:
    image = torch.randn(1, 3, 64, 64)
    keys = list(tiny_model.state_dict())
    expected = run(tiny_model, image)
    assert list(tiny_model.state_dict()) == keys
    run(tiny_model.double(), image.double())
    torch.testing.assert_close(run(tiny_model.float(), image), expected, rtol=0, atol=0)


def test_weights_can_be_trained_after_and_between_uses(tiny_model: Model) -> None:
    image = torch.randn(1, 3, 64, 64)
    run(tiny_model, image)
    tiny_model(image).mean().backward()
    table = tiny_model.image_encoder.blocks[0].attention.position_bias.table
    assert table.grad is not None
    assert table.grad.abs().sum() > 0


def published_shapes(config: Config, *, classes: int = 1000) -> dict[str, tuple[int, ...]]:
    """Write down the keys and shapes of the authors' file for a config, from their naming alone."""
    width = config.embed_dim
    rows = (2 * config.base_grid - 1) ** 2 + 3
    block = {
        "gamma_1": (width,),
        "gamma_2": (width,),
        "attn.q_bias": (width,),
        "attn.v_bias": (width,),
        "attn.relative_position_bias_table": (rows, config.head_count),
        "attn.qkv.weight": (3 * width, width),
        "attn.relative_position_index": (config.base_grid**2 + 1,) * 2,
        **parameter_shapes("attn.proj", width, width),
        **parameter_shapes("mlp.fc1", 4 * width, width),
        **parameter_shapes("mlp.fc2", width, 4 * width),
        **{f"norm{index}.{leaf}": (width,) for index in (1, 2) for leaf in ("weight", "bias")},
    }
    model = {
        "cls_token": (1, 1, width),
        **parameter_shapes("patch_embed.proj", width, 3, 16, 16),
        **{f"blocks.{index}.{key}": shape for index in range(config.block_count) for key, shape in block.items()},
        "fc_norm.weight": (width,),
        "fc_norm.bias": (width,),
        **parameter_shapes("head", classes, width),
    }
    shapes = {f"pretrained.model.{key}": shape for key, shape in model.items()}
    shapes |= reassemble_shapes(width, config.level_channels)
    return shapes | decoder_shapes(config.level_channels, config.fusion_channels, config.head_channels)


def test_the_written_down_shapes_are_those_of_the_published_file() -> None:
    assert published_shapes(Config.base_384()) == load(GOLDEN).shapes


@pytest.mark.parametrize(
    ("config", "key_count", "tensor_bytes"),
    [
        (Config.large_512(), 487, 1_581_777_764),
        (Config.large_384(), 487, 1_441_276_772),
        (Config.base_384(), 283, 478_087_940),
        (TINY, 147, None),
    ],
    ids=lambda value: value.variant if isinstance(value, Config) else None,
)
def test_every_published_size_is_read_from_its_shapes_and_loads(
    config: Config, key_count: int, tensor_bytes: int | None
) -> None:
    shapes = published_shapes(config)
    assert len(shapes) == key_count
    if tensor_bytes is not None:
        indices = sum(8 * np.prod(shape) for key, shape in shapes.items() if key.endswith("_index"))
        weights = sum(4 * np.prod(shape) for key, shape in shapes.items() if not key.endswith("_index"))
        assert indices + weights == tensor_bytes
    assert matches(shapes)
    assert config_from_shapes(shapes) == config
    with torch.device("meta"):
        model = Model(config)
        published = {key: torch.empty(shape) for key, shape in shapes.items()}
    model.load_state_dict(convert(published), assign=True)
    assert_gives_depth(model, (config.base_size, 96))


def test_names_of_the_published_sizes() -> None:
    presets = (Config.large_512(), Config.large_384(), Config.base_384())
    assert [preset.variant for preset in presets] == ["beit_large_512", "beit_large_384", "beit_base_384"]


def test_left_over_and_missing_keys_stop_a_load() -> None:
    shapes = published_shapes(TINY)
    published = {key: torch.zeros(shape) for key, shape in shapes.items()}
    with pytest.raises(RuntimeError, match=r"Unexpected key.*scratch\.surprise"):
        Model(TINY).load_state_dict(convert(published | {"scratch.surprise": torch.zeros(1)}))
    del published["pretrained.model.blocks.1.norm1.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*blocks\.1\.norm1\.bias"):
        Model(TINY).load_state_dict(convert(published))


def test_shapes_that_make_no_network_are_refused() -> None:
    shapes = published_shapes(TINY)
    table = "pretrained.model.blocks.0.attn.relative_position_bias_table"
    with pytest.raises(ValueError, match="position bias table has 50 rows"):
        config_from_shapes(shapes | {table: (50, 2)})
    with pytest.raises(ValueError, match="encoder has 5 blocks"):
        config_from_shapes(shapes | {"pretrained.model.blocks.4.gamma_1": (32,)})
    with pytest.raises(ValueError, match="must be a multiple of the 3 heads"):
        config_from_shapes(shapes | {table: (52, 3)})
    del shapes["scratch.layer2_rn.weight"]
    with pytest.raises(ValueError, match=r"fusion\.adapters\.1\.weight.*may be cut off"):
        config_from_shapes(shapes)


@pytest.mark.parametrize("other", ["midas_swin2t16_256", "midas_vitb_rn50_384", "da2_vits"])
def test_other_families_do_not_match(other: str) -> None:
    assert not matches(load(other).shapes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_graph_keeps_the_tables_it_reads(tiny_model: Model) -> None:
    model = tiny_model.cuda()
    image = torch.randn(1, 3, 64, 96, device="cuda")
    expected = run(model, image)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        output = model(image)
    for size_hw in ((32, 32), (64, 32), (96, 96)):  # more sizes than are kept
        run(model, torch.randn(1, 3, *size_hw, device="cuda"))
    graph.replay()
    torch.testing.assert_close(output, expected)
