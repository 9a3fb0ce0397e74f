"""MiDaS 3.1 SwinV2: the authors' numbers, windows for any size, float16's range, and what a checkpoint's shapes tell."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from dptstream.models.midas_swinv2 import Config, Model, config_from_shapes, convert, matches
from dptstream.models.midas_swinv2.image_encoder import WindowAttention
from dptstream.models.midas_swinv2.table_cache import TableCache
from dptstream.models.midas_swinv2.windows import OTHER_REGION, WindowLayout
from tests.golden import load, normalised_batch, seeded_image, seeded_state_dict
from tests.models.midas import Shapes, assert_gives_depth, decoder_shapes, parameter_shapes, run, seeded_weights

GOLDEN = "midas_swin2t16_256"
TINY = Config(
    embed_dim=16,
    depths=(2, 2, 2, 2),
    head_counts=(1, 2, 4, 8),
    base_size=128,
    window=8,
    fusion_channels=16,
    head_channels=8,
)
TINY_ENLARGED = Config(
    embed_dim=16,
    depths=(2, 2, 2, 2),
    head_counts=(1, 2, 4, 8),
    base_size=384,
    window=24,
    pretrained_window=12,
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


@pytest.mark.parametrize("size_hw", [(128, 128), (96, 160)])
def test_a_batch_gives_what_its_pictures_give_alone(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    images = torch.randn(3, 3, *size_hw)
    alone = torch.cat([run(tiny_model, image[None]) for image in images])
    torch.testing.assert_close(run(tiny_model, images), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size_hw", [(128, 128), (128, 192), (160, 96), (32, 32), (32, 256), (224, 96)])
def test_every_multiple_of_32_works(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    output = run(tiny_model, torch.randn(1, 3, *size_hw))
    assert output.shape == (1, *size_hw)
    assert output.dtype == torch.float32
    assert torch.isfinite(output).all()
    assert output.std() > 0


@pytest.mark.parametrize("size_hw", [(128, 144), (33, 32), (0, 64), (16, 32)])
def test_impossible_sizes_are_refused(tiny_model: Model, size_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"picture is {size_hw[0]}x{size_hw[1]} .* multiples of 32: resize it first"):
        tiny_model(torch.zeros(1, 3, *size_hw))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 4, 64, 64)])
def test_what_is_no_batch_of_pictures_is_refused(tiny_model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give \(B, 3, H, W\)"):
        tiny_model(torch.zeros(shape))


@pytest.mark.parametrize(
    ("grid_hw", "trained", "window_hw", "count_hw", "shift_hw"),
    [
        ((64, 64), 16, (16, 16), (4, 4), (8, 8)),
        ((96, 96), 24, (24, 24), (4, 4), (12, 12)),
        ((24, 24), 24, (24, 24), (1, 1), (0, 0)),
        ((24, 42), 24, (24, 21), (1, 2), (0, 10)),
        ((12, 21), 12, (12, 11), (1, 2), (0, 5)),
        ((5, 1), 8, (5, 1), (1, 1), (0, 0)),
    ],
)
def test_windows_are_few_even_and_never_larger_than_trained(grid_hw, trained, window_hw, count_hw, shift_hw) -> None:
    assert WindowLayout.fit(grid_hw, trained, shifted=True) == WindowLayout(grid_hw, window_hw, count_hw, shift_hw)
    assert WindowLayout.fit(grid_hw, trained, shifted=False) == WindowLayout(grid_hw, window_hw, count_hw, (0, 0))


GRIDS = [(8, 8), (12, 8), (9, 13), (3, 17), (11, 4)]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid_hw", GRIDS)
def test_joining_undoes_splitting(grid_hw: tuple[int, int], shifted: bool) -> None:
    layout = WindowLayout.fit(grid_hw, 4, shifted=shifted)
    tokens = torch.randn(2, *grid_hw, 3)
    torch.testing.assert_close(layout.join(layout.split(tokens)), tokens, rtol=0, atol=0)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid_hw", GRIDS)
def test_tokens_attend_to_each_other_only_where_they_were_neighbours(grid_hw: tuple[int, int], shifted: bool) -> None:
    layout = WindowLayout.fit(grid_hw, 4, shifted=shifted)
    height, width = grid_hw
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), dim=-1) + 1
    places_wn2 = layout.split(places[None].float())[0]  # filling is at (0, 0)
    window = torch.meshgrid(*(torch.arange(side) for side in layout.window_hw), indexing="ij")
    inside_n2 = torch.stack(window, dim=-1).reshape(-1, 2)
    offsets_wnn2 = places_wn2[:, :, None] - places_wn2[:, None]
    adjacent_wnn = (offsets_wnn2 == inside_n2[:, None] - inside_n2[None]).all(-1)
    real_wn = (places_wn2 > 0).all(-1)

    mask_wnn = layout.mask_wnn(torch.device("cpu"))
    assert (torch.isinf(mask_wnn) == ~real_wn[:, None, :]).all()
    both_real = real_wn[:, :, None] & real_wn[:, None, :]
    assert ((mask_wnn == 0) == adjacent_wnn)[both_real].all()
    assert ((mask_wnn == OTHER_REGION) == ~adjacent_wnn)[both_real].all()
    assert (mask_wnn == 0).any(-1)[real_wn].all()


def test_filling_changes_nothing_and_an_offset_has_one_bias_in_every_window() -> None:
    attention = WindowAttention(8, 2, trained_window=4, offset_unit=3, shifted=False)
    tokens = torch.randn(1, 4, 7, 8)  # windows of 4 x 4, the second with a column of filling
    with torch.no_grad():
        whole = attention(tokens)
        parts = torch.cat([attention(tokens[:, :, :4]), attention(tokens[:, :, 4:])], dim=2)
    torch.testing.assert_close(whole, parts)


@pytest.mark.parametrize(("dtype", "largest_error"), [(torch.bfloat16, 0.4), (torch.float16, 0.05)])
def test_half_precision_stays_close(tiny_model: Model, dtype: torch.dtype, largest_error: float) -> None:
    images = torch.randn(1, 3, 128, 160)
    exact = run(tiny_model, images)
    rounded = run(deepcopy(tiny_model).to(dtype), images.to(dtype))
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < largest_error * exact.std()


def test_float16_survives_values_beyond_its_range_before_a_normalisation(tiny_model: Model) -> None:
    with torch.no_grad():
        for block in tiny_model.image_encoder.stages[0].blocks:
            block.mlp.fc2.weight *= 1e5
            block.mlp.fc2.bias *= 1e5
    images = torch.randn(1, 3, 64, 64)
    exact = run(tiny_model, images)
    mlp = tiny_model.image_encoder.stages[0].blocks[0].mlp
    assert mlp.fc2(mlp(torch.randn(1, 4, 4, 16))).abs().max() > torch.finfo(torch.float16).max
    rounded = run(deepcopy(tiny_model).half(), images.half())
    assert (rounded - exact).abs().max() < 0.05 * exact.std()


def test_float16_survives_keys_of_zero(tiny_model: Model) -> None:
    attention = tiny_model.image_encoder.stages[0].blocks[0].attention.half()
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        assert torch.isfinite(attention(torch.randn(1, 8, 8, 16).half())).all()


def kept(model: Model) -> list[int]:
    return [len(module) for module in model.modules() if isinstance(module, TableCache)]


def test_biases_are_kept_for_the_last_two_sizes_and_change_no_number(tiny_model: Model) -> None:
    images = [torch.randn(1, 3, *size_hw) for size_hw in ((64, 64), (128, 64), (64, 160))]
    first = [run(tiny_model, image) for image in images]
    assert kept(tiny_model) == [2] * sum(TINY.depths)
    for image, expected in zip(images, first, strict=True):
        torch.testing.assert_close(run(tiny_model, image), expected, rtol=0, atol=0)
    assert kept(tiny_model) == [2] * sum(TINY.depths)


def test_kept_biases_never_outlive_their_weights(tiny_model: Model) -> None:
    image = torch.randn(1, 3, 64, 96)
    keys = list(tiny_model.state_dict())
    run(tiny_model, image)
    assert list(tiny_model.state_dict()) == keys
    other = seeded_weights(tiny_model, salt=1)
    fresh = Model(TINY).eval()
    fresh.load_state_dict(other)
    tiny_model.load_state_dict(other)
    torch.testing.assert_close(run(tiny_model, image), run(fresh, image), rtol=0, atol=0)


def published_shapes(config: Config, *, classes: int = 1000) -> Shapes:
    """Write down the keys and shapes of the authors' file for a config, from their naming alone."""
    shapes: Shapes = {**parameter_shapes("patch_embed.proj", config.embed_dim, 3, 4, 4)}
    shapes |= parameter_shapes("patch_embed.norm", config.embed_dim)
    for stage, (width, heads) in enumerate(zip(config.level_channels, config.head_counts, strict=True)):
        for index in range(config.depths[stage]):
            block = block_shapes(width, heads)
            grid, window = config.base_size // 4 // 2**stage, config.stage_window(stage)
            if index % 2 == 1 and grid > window:
                block["attn_mask"] = ((grid // window) ** 2, window**2, window**2)
            shapes |= {f"layers.{stage}.blocks.{index}.{key}": shape for key, shape in block.items()}
        if stage < 3:
            shapes[f"layers.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
            shapes |= parameter_shapes(f"layers.{stage}.downsample.norm", 2 * width)
    shapes |= parameter_shapes("norm", 8 * config.embed_dim) | parameter_shapes("head", classes, 8 * config.embed_dim)
    shapes = {f"pretrained.model.{key}": shape for key, shape in shapes.items()}
    return shapes | decoder_shapes(config.level_channels, config.fusion_channels, config.head_channels)


def block_shapes(width: int, heads: int) -> Shapes:
    return {
        "attn.logit_scale": (heads, 1, 1),
        "attn.q_bias": (width,),
        "attn.v_bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.cpb_mlp.2.weight": (heads, 512),
        **parameter_shapes("attn.cpb_mlp.0", 512, 2),
        **parameter_shapes("attn.proj", width, width),
        **parameter_shapes("mlp.fc1", 4 * width, width),
        **parameter_shapes("mlp.fc2", width, 4 * width),
        **parameter_shapes("norm1", width),
        **parameter_shapes("norm2", width),
    }


def test_the_written_down_shapes_are_those_of_the_published_file() -> None:
    assert published_shapes(Config.tiny_256()) == load(GOLDEN).shapes


PUBLISHED = [
    (Config.large_384(), 477, 880_189_556),
    (Config.base_384(), 477, 436_057_732),
    (Config.tiny_256(), 273, 172_048_204),
]


@pytest.mark.parametrize(("config", "key_count", "tensor_bytes"), PUBLISHED, ids=["large", "base", "tiny"])
def test_every_published_size_is_read_from_its_shapes_and_loads(
    config: Config, key_count: int, tensor_bytes: int
) -> None:
    shapes = published_shapes(config)
    assert len(shapes) == key_count
    assert sum(4 * np.prod(shape) for shape in shapes.values()) == tensor_bytes
    assert_loads(config, shapes)


@pytest.mark.parametrize("config", [TINY, TINY_ENLARGED])
def test_other_sizes_are_read_from_their_shapes_as_well(config: Config) -> None:
    assert_loads(config, published_shapes(config))


def assert_loads(config: Config, shapes: Shapes) -> None:
    assert matches(shapes)
    assert config_from_shapes(shapes) == config
    with torch.device("meta"):
        model = Model(config)
        published = {key: torch.empty(shape) for key, shape in shapes.items()}
    model.load_state_dict(convert(published), assign=True)
    assert_gives_depth(model, (config.base_size, 96))


@pytest.mark.parametrize("config", [config for config, _, _ in PUBLISHED], ids=["large", "base", "tiny"])
def test_a_published_network_is_known_without_its_masks(config: Config) -> None:
    shapes = {key: shape for key, shape in published_shapes(config).items() if not key.endswith("attn_mask")}
    assert config_from_shapes(shapes) == config


def test_offsets_are_measured_in_the_window_of_the_pretraining() -> None:
    assert [Config.large_384().stage_offset_unit(stage) for stage in range(4)] == [11, 11, 11, 5]
    assert [Config.tiny_256().stage_offset_unit(stage) for stage in range(4)] == [15, 15, 15, 7]
    assert [Config.large_384().stage_window(stage) for stage in range(4)] == [24, 24, 24, 12]


def test_names_of_the_published_sizes() -> None:
    assert [config.variant for config, _, _ in PUBLISHED] == ["swin2_large_384", "swin2_base_384", "swin2_tiny_256"]


def test_left_over_and_missing_keys_stop_a_load() -> None:
    published = {key: torch.zeros(shape) for key, shape in published_shapes(TINY).items()}
    with pytest.raises(RuntimeError, match=r"Unexpected key.*scratch\.surprise"):
        Model(TINY).load_state_dict(convert(published | {"scratch.surprise": torch.zeros(1)}))
    del published["pretrained.model.layers.2.downsample.norm.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*stages\.2\.downsample\.norm\.bias"):
        Model(TINY).load_state_dict(convert(published))


def test_shapes_that_make_no_network_are_refused() -> None:
    shapes = published_shapes(TINY)
    mask = "pretrained.model.layers.0.blocks.1.attn_mask"
    with pytest.raises(ValueError, match=r"attn_mask has shape \(15, 64, 64\)"):
        config_from_shapes(shapes | {mask: (15, 64, 64)})
    with pytest.raises(ValueError, match="heads that divide the channels"):
        config_from_shapes(shapes | {"pretrained.model.layers.1.blocks.0.attn.logit_scale": (3, 1, 1)})
    without_masks = {key: shape for key, shape in shapes.items() if not key.endswith("attn_mask")}
    with pytest.raises(ValueError, match="no masks tell the window, and the first stage has 16 channels"):
        config_from_shapes(without_masks)
    del shapes["scratch.layer1_rn.weight"]
    with pytest.raises(ValueError, match=r"fusion\.adapters\.0\.weight.*may be cut off"):
        config_from_shapes(shapes)


@pytest.mark.parametrize("other", ["midas_vitb_rn50_384", "midas_beitb16_384", "da2_vits"])
def test_other_families_do_not_match(other: str) -> None:
    assert not matches(load(other).shapes)
