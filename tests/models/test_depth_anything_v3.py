"""Depth Anything V3, mono and metric: its keys, its depth, and where it puts the sky."""

import pytest
import torch
from torch import Tensor

from dptstream.models.depth_anything import Config, Model, config_from_shapes, convert, fill_sky, matches
from tests.golden import load, seeded_state_dict

TINY = Config("v3-mono", 64, 4, (16, 16, 32, 32), 16, position_grid=5)


def v3_entries() -> dict[str, Tensor]:
    """Give V2's small network the names of V3's, which has no mask token nor unused unit, and a second branch."""
    entries = {}
    for key, tensor in seeded_state_dict("da2_vits").items():
        name = key.replace("pretrained.", "model.backbone.pretrained.").replace("depth_head.", "model.head.")
        if "mask_token" not in key and "refinenet4.resConfUnit1" not in key:
            entries[name] = tensor
        if "output_conv2" in key:
            entries[name.replace("output_conv2", "sky_output_conv2")] = tensor
    return entries


def shapes_of(entries: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in entries.items()}


@pytest.fixture
def tiny_model() -> Model:
    torch.manual_seed(0)
    return Model(TINY).eval().requires_grad_(False)


@pytest.mark.parametrize("variant", ["v3-mono", "v3-metric"])
def test_the_large_network_has_the_entries_and_weights_of_the_published_one(variant) -> None:
    with torch.device("meta"):
        model = Model(Config.vitl(variant))
    assert len(model.state_dict()) == 406
    assert sum(parameter.numel() for parameter in model.parameters()) * 4 == 1_336_685_576


def test_its_keys_are_recognised_and_all_of_them_used() -> None:
    entries = v3_entries()
    assert matches(shapes_of(entries))
    config = config_from_shapes(shapes_of(entries))
    assert config == Config.vits("v3-mono")
    Model(config).load_state_dict(convert(entries))


def test_mono_and_metric_differ_by_what_the_output_means() -> None:
    mono, metric = (config_from_shapes(shapes_of(v3_entries()), variant=name) for name in ("v3-mono", "v3-metric"))
    assert (mono.depth_kind, mono.canonical_focal_px) == ("relative_depth", None)
    assert (metric.depth_kind, metric.canonical_focal_px) == ("metric", 300.0)
    assert (metric.base_size, metric.resize_method) == (504, "upper_bound")


@pytest.mark.parametrize("variant", ["v2", "video", "v3-giant"])
def test_another_release_is_refused(variant: str) -> None:
    with pytest.raises(ValueError, match=f"{variant!r}; this checkpoint can be: v3-mono, v3-metric"):
        config_from_shapes(shapes_of(v3_entries()), variant=variant)


def test_an_any_view_network_is_not_taken_for_one_of_ours() -> None:
    shapes = shapes_of(v3_entries()) | {"model.backbone.pretrained.camera_token": (1, 2, 384)}
    assert not matches(shapes)


def test_depth_is_the_exponential_of_what_v2_rectifies() -> None:
    golden = load("da2_vits")
    v2 = Model(config_from_shapes(golden.shapes)).eval()
    v2.load_state_dict(convert(seeded_state_dict("da2_vits")))
    v3 = Model(config_from_shapes(shapes_of(v3_entries()))).eval()
    v3.load_state_dict(convert(v3_entries()))
    images = torch.randn(1, 3, 42, 56)
    with torch.inference_mode():
        rectified, (depth, _) = v2(images), v3.depth_and_sky(images)
    # Only the epsilon of the last normalisation differs: 1e-5 beside variances near one.
    torch.testing.assert_close(depth.log().relu(), rectified, rtol=1e-2, atol=1e-3)
    assert v3.image_encoder.norm.eps == 1e-5
    assert v3.image_encoder.blocks[0].norm_1.eps == 1e-6


def test_the_output_is_the_depth_with_its_sky_filled(tiny_model: Model) -> None:
    images = torch.randn(2, 3, 42, 56)
    tiny_model.head.sky.conv_3.bias.fill_(100)
    _, sky = tiny_model.depth_and_sky(images)
    tiny_model.head.sky.conv_3.bias.sub_(sky.median() - 0.3)  # half of the pixels are sky now
    depth, sky = tiny_model.depth_and_sky(images)
    assert 10 < (sky >= 0.3).sum() < sky.numel() - 10
    assert torch.equal(tiny_model(images), fill_sky(depth, sky))


def test_other_releases_tell_no_sky() -> None:
    with pytest.raises(ValueError, match="variant 'v2' tells no sky"):
        Model(Config("v2", 64, 4, (8, 8, 8, 8), 8, position_grid=2)).depth_and_sky(torch.zeros(1, 3, 14, 14))


def test_sky_goes_to_the_99th_percentile_of_the_rest_picture_by_picture() -> None:
    torch.manual_seed(0)
    depth, sky = torch.rand(3, 30, 40) + 1, torch.rand(3, 30, 40)
    filled = fill_sky(depth, sky)
    for picture in range(3):
        is_sky = sky[picture] >= 0.3
        expected = torch.quantile(depth[picture][~is_sky], 0.99)
        torch.testing.assert_close(filled[picture][is_sky], expected.expand(int(is_sky.sum())))
        assert torch.equal(filled[picture][~is_sky], depth[picture][~is_sky])


@pytest.mark.parametrize("sky_pixels", [0, 10, 90, 100])
def test_a_picture_with_hardly_any_sky_or_nothing_else_stays(sky_pixels: int) -> None:
    depth = torch.rand(1, 10, 10)
    sky = (torch.arange(100) < sky_pixels).float().view(1, 10, 10)
    assert torch.equal(fill_sky(depth, sky), depth)


def test_the_threshold_itself_is_sky() -> None:
    depth = torch.arange(1.0, 101.0).view(1, 10, 10)
    sky = torch.zeros(100)
    sky[:11] = 0.3
    assert fill_sky(depth, sky.view(1, 10, 10))[0, 0, 0] > 99
