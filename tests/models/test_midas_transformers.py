"""The MiDaS families in the layout of Hugging Face transformers, compared with that implementation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dptstream.models import midas_beit, midas_swinv2, midas_vit
from tests.models.midas import run

transformers = pytest.importorskip("transformers", reason="the comparison needs transformers")

NECK = {"fusion_hidden_size": 32, "readout_type": "project"}
VIT = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "image_size": 64,
    "layer_norm_eps": 1e-6,  # the authors'; their default of 1e-12 moves the output by 1e-4 of its deviation
}
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def large():
    return transformers.DPTConfig(
        **VIT, **NECK, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 32, 32], is_hybrid=False
    )


def hybrid():
    resnet = transformers.BitConfig(
        global_padding="same",
        layer_type="bottleneck",
        depths=[1, 2, 1],
        hidden_sizes=[128, 256, 512],
        embedding_size=32,
        out_features=["stage1", "stage2", "stage3"],
        embedding_dynamic_padding=True,
    )
    return transformers.DPTConfig(
        **VIT,
        **NECK,
        backbone_config=resnet,
        backbone_featmap_shape=[1, 512, 4, 4],
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[128, 256, 32, 32],
        neck_ignore_stages=[0, 1],
        is_hybrid=True,
    )


def beit():
    encoder = transformers.BeitConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=256,
        image_size=64,
        patch_size=16,
        layer_norm_eps=1e-6,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=STAGES,
    )
    return transformers.DPTConfig(**NECK, backbone_config=encoder, hidden_size=64, neck_hidden_sizes=[8, 16, 32, 32])


def swinv2():
    encoder = transformers.Swinv2Config(
        image_size=256,
        embed_dim=32,
        depths=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        window_size=4,
        pretrained_window_sizes=[6, 6, 6, 3],
        out_features=STAGES,
    )
    return transformers.DPTConfig(**NECK, backbone_config=encoder, hidden_size=32, neck_hidden_sizes=[32, 64, 128, 256])


SWINV2 = midas_swinv2.Config(
    embed_dim=32,
    depths=(2, 2, 2, 2),
    head_counts=(1, 2, 4, 8),
    base_size=256,
    window=4,
    pretrained_window=6,
    fusion_channels=32,
)


def their_network(config) -> nn.Module:
    torch.manual_seed(0)
    network = transformers.DPTForDepthEstimation(config).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "logit_scale" not in name:
            nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
        elif "lambda_" in name:
            nn.init.normal_(parameter, mean=0.3, std=0.05)
        elif "norm" in name and name.endswith("weight"):
            nn.init.normal_(parameter, mean=1, std=0.1)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.1)
    nn.init.constant_(network.head.head[4].bias, 3)
    return network


def saved_entries(network: nn.Module, folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    network.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def assert_equal_outputs(theirs: nn.Module, ours: nn.Module, sizes_hw: list[tuple[int, int]]) -> None:
    for size_hw in sizes_hw:
        images = torch.randn(2, 3, *size_hw)
        expected = theirs(images).predicted_depth
        assert (expected > 0).float().mean() > 0.2
        output = run(ours, images)
        assert (output - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize(
    ("family", "config", "sizes_hw"),
    [
        # Their DPT without a backbone takes square pictures only, their hybrid the trained size only.
        (midas_vit, large, [(64, 64), (96, 96)]),
        (midas_vit, hybrid, [(64, 64)]),
        (midas_beit, beit, [(64, 64), (64, 96), (96, 32)]),
    ],
    ids=["large", "hybrid", "beit"],
)
def test_outputs_are_those_of_transformers(family, config, sizes_hw, tmp_path: Path) -> None:
    theirs = their_network(config())
    entries = saved_entries(theirs, tmp_path)
    shapes = {key: tuple(value.shape) for key, value in entries.items()}
    assert family.matches(shapes)
    ours = family.Model(family.config_from_shapes(shapes)).eval()
    ours.load_state_dict(family.convert(entries))
    assert_equal_outputs(theirs, ours, sizes_hw)


def test_outputs_of_swinv2_are_those_of_transformers_where_windows_divide_the_grid(tmp_path: Path) -> None:
    theirs = their_network(swinv2())
    entries = saved_entries(theirs, tmp_path)
    assert midas_swinv2.matches({key: tuple(value.shape) for key, value in entries.items()})
    ours = midas_swinv2.Model(SWINV2).eval()
    ours.load_state_dict(midas_swinv2.convert(entries))
    assert_equal_outputs(theirs, ours, [(256, 256), (256, 384)])


@pytest.mark.parametrize("config", [large, hybrid, beit, swinv2])
def test_each_layout_belongs_to_one_family(config, tmp_path: Path) -> None:
    entries = saved_entries(their_network(config()), tmp_path)
    shapes = {key: tuple(value.shape) for key, value in entries.items()}
    families = [family for family in (midas_beit, midas_swinv2, midas_vit) if family.matches(shapes)]
    assert families == [{"beit": midas_beit, "swinv2": midas_swinv2}.get(config.__name__, midas_vit)]
