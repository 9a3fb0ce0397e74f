"""Depth Anything in the layout of Hugging Face transformers, compared with that implementation."""

import pytest
import torch
from torch import Tensor

from dptstream.models.depth_anything import Config, Model, config_from_shapes, convert, matches

transformers = pytest.importorskip("transformers", reason="the comparison needs transformers")

SIZE = 70
BLOCKS = 8
TAPS = {"v1": [5, 6, 7, 8], "v2": [2, 4, 6, 8]}  # they count from 1


def their_network(*, release: str = "v2", embed_dim: int = 64, gated: bool = False, max_depth: float | None = None):
    backbone = transformers.Dinov2Config(
        hidden_size=embed_dim,
        num_hidden_layers=BLOCKS,
        num_attention_heads=embed_dim // 64,
        image_size=SIZE,
        patch_size=14,
        out_indices=TAPS[release],
        apply_layernorm=True,
        reshape_hidden_states=False,
        use_swiglu_ffn=gated,
    )
    metric = {"depth_estimation_type": "metric", "max_depth": max_depth} if max_depth else {}
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=embed_dim,
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
        **metric,
    )
    torch.manual_seed(0)
    network = transformers.DepthAnythingForDepthEstimation(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.2 / parameter[0].numel() ** 0.5)
    torch.nn.init.normal_(network.backbone.embeddings.position_embeddings, std=0.5)
    torch.nn.init.constant_(network.head.conv3.bias, 5)
    return network


def saved_entries(network, folder) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    network.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def our_network(entries: dict[str, Tensor], variant: str) -> Model:
    shapes = {key: tuple(tensor.shape) for key, tensor in entries.items()}
    assert matches(shapes)
    model = Model(config_from_shapes(shapes, variant=variant)).eval()
    model.load_state_dict(convert(entries))
    return model


@pytest.mark.parametrize("release", ["v1", "v2"])
@pytest.mark.parametrize("embed_dim", [64, 128])
def test_relative_depth_equals_theirs(tmp_path, release, embed_dim) -> None:
    theirs = their_network(release=release, embed_dim=embed_dim)
    ours = our_network(saved_entries(theirs, tmp_path), release)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected, output = theirs(images).predicted_depth, ours(images)
    assert expected.std() > 0.01
    assert (output - expected).abs().max() < 1e-4 * expected.std()


def test_metric_depth_equals_theirs(tmp_path) -> None:
    theirs = their_network(max_depth=80)
    ours = our_network(saved_entries(theirs, tmp_path), "v2-metric-outdoor")
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected, output = theirs(images).predicted_depth, ours(images)
    assert (output - expected).abs().max() < 1e-4 * expected.std()


def test_other_sizes_equal_theirs_but_for_the_offset_in_the_positions(tmp_path) -> None:
    theirs = their_network()
    ours = our_network(saved_entries(theirs, tmp_path), "v2")
    images = torch.randn(1, 3, 98, 42)
    with torch.inference_mode():
        # transformers resizes positions to a size; the authors by a factor, with 0.1 patch to spare.
        positions = theirs.backbone.embeddings.interpolate_pos_encoding(torch.zeros(1, 22, 64), 98, 42)
        ours.image_encoder.positions = lambda patch_grid_hw: positions
        expected, output = theirs(images).predicted_depth, ours(images)
    assert (output - expected).abs().max() < 1e-4 * expected.std()


def test_the_names_in_memory_are_known_beside_those_in_files(tmp_path) -> None:
    theirs = their_network()
    ours = our_network(dict(theirs.state_dict()), "v2")
    filed = our_network(saved_entries(theirs, tmp_path), "v2")
    assert all(torch.equal(tensor, filed.state_dict()[key]) for key, tensor in ours.state_dict().items())


def test_the_size_is_read_from_the_shapes(tmp_path) -> None:
    config = our_network(saved_entries(their_network(), tmp_path), "v2").config
    assert config == Config("v2", 64, BLOCKS, (16, 16, 32, 32), 16, position_grid=5, head_channels=8)


def test_gated_mlps_equal_theirs(tmp_path) -> None:
    theirs = their_network(gated=True)
    ours = our_network(saved_entries(theirs, tmp_path), "v2")
    assert ours.config.mlp_kind == "swiglu"
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected, output = theirs(images).predicted_depth, ours(images)
    assert (output - expected).abs().max() < 1e-4 * expected.std()
