"""The family of the bundled checkpoint: its network and how it is recognised."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from dptstream.models import dpt_tiny


@pytest.fixture(scope="module")
def network() -> dpt_tiny.Model:
    torch.manual_seed(0)
    return dpt_tiny.Model(dpt_tiny.Config.tiny()).eval()


def shapes_of(network: dpt_tiny.Model) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("size_hw", [(96, 160), (112, 80), (16, 16)])
def test_inverse_depth_has_the_pictures_size_and_is_not_negative(network, size_hw):
    with torch.inference_mode():
        inverse_depth = network(torch.randn(2, 3, *size_hw))
    assert inverse_depth.shape == (2, *size_hw)
    assert (inverse_depth >= 0).all()


def test_pictures_of_a_batch_do_not_influence_each_other(network):
    images = torch.randn(3, 3, 64, 96)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_every_pixel_of_the_depth_can_see_the_whole_picture(network):
    images = torch.randn(1, 3, 96, 96, requires_grad=True)
    network(images)[0, 0, 0].backward()
    assert images.grad is not None
    assert (images.grad[0, :, -16:, -16:] != 0).any()


@pytest.mark.parametrize(
    "config",
    [
        dpt_tiny.Config.tiny(),
        replace(
            dpt_tiny.Config.tiny(), stage_depths=(1, 3), token_dim=128, token_depth=4, mlp_dim=256, head_channels=16
        ),
    ],
)
def test_the_config_is_read_back_from_the_shapes(config):
    shapes = shapes_of(dpt_tiny.Model(config))
    assert dpt_tiny.matches(shapes)
    assert dpt_tiny.config_from_shapes(shapes) == config


def test_a_checkpoint_of_another_family_is_not_taken():
    assert not dpt_tiny.matches(
        {"pretrained.cls_token": (1, 1, 384), "depth_head.scratch.output_conv1.weight": (32, 64, 3, 3)}
    )


def test_a_checkpoint_with_a_missing_part_is_an_error(network):
    shapes = shapes_of(network)
    del shapes["head.mix.weight"]
    with pytest.raises(KeyError, match=r"head\.mix\.weight"):
        dpt_tiny.config_from_shapes(shapes)


def test_a_half_precision_file_gives_nearly_the_same_depth(network, tmp_path):
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()},
        tmp_path / "w.safetensors",
    )
    loaded = load_file(tmp_path / "w.safetensors")
    copy = dpt_tiny.Model(dpt_tiny.config_from_shapes({key: tuple(value.shape) for key, value in loaded.items()}))
    copy.load_state_dict(dpt_tiny.convert(loaded), strict=True)
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(copy.eval()(images), network(images), rtol=0.02, atol=0.02)


def test_the_network_exports_as_one_graph(network):
    images = torch.randn(1, 3, 64, 96)
    program = torch.export.export(network, (images,))
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(images), network(images), rtol=1e-4, atol=1e-4)
