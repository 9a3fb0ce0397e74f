"""Which network a file holds: family and size from keys and shapes, the release from what stands beside them."""

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dptstream.errors import CheckpointError
from dptstream.geometry import DepthKind
from dptstream.models import load_model
from dptstream.models.recognise import Evidence, Recognition, recognise
from tests.golden import load
from tests.models.small_checkpoint import small_state_dict, small_v3_state_dict

RELATIVE, METRIC = DepthKind.RELATIVE_INVERSE, DepthKind.METRIC


def recognised(golden_name: str, path: str = "net.pth", **evidence: str) -> Recognition:
    return recognise(load(golden_name).shapes, Evidence(Path(path), **evidence))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("golden_name", "family", "variant", "kind"),
    [
        ("da2_vits", "depth_anything", "v2 vits", RELATIVE),
        ("midas_beitb16_384", "midas_beit", "beit_base_384", RELATIVE),
        ("midas_vitb_rn50_384", "midas_vit", "hybrid_384", RELATIVE),
        ("midas_swin2t16_256", "midas_swinv2", "swin2_tiny_256", RELATIVE),
        ("vda_vits", "depth_anything", "video vits", RELATIVE),
    ],
)
def test_family_and_size_follow_from_keys_and_shapes(
    golden_name: str, family: str, variant: str, kind: DepthKind
) -> None:
    found = recognised(golden_name)
    assert (found.family, found.variant, found.kind) == (family, variant, kind)
    assert found.decided_by["family"] == "keys"


@pytest.mark.parametrize(
    ("golden_name", "path", "variant"),
    [
        ("da2_vits", "depth_anything_v2_vits.pth", "v2"),
        ("da2_vits", "my-DAV2-finetuned.pth", "v2"),
        ("da2_vits", "depth_anything_vits14.pth", "v1"),
        ("da2_vits", "depth-anything-small/model.safetensors", "v1"),
        ("da2_vits", "Depth-Anything-V2-Small/model.safetensors", "v2"),
        ("da2_vits", "depth_anything_v2_metric_hypersim_vits.pth", "v2-metric-indoor"),
        ("da2_vits", "depth_anything_v2_metric_vkitti_vits.pth", "v2-metric-outdoor"),
        (
            "da2_vits",
            "models--depth-anything--Depth-Anything-V2-Metric-Outdoor-Small/snapshots/1/a.pth",
            "v2-metric-outdoor",
        ),
        ("vda_vits", "video_depth_anything_vits.pth", "video"),
        ("vda_vits", "metric_video_depth_anything_vits.pth", "video-metric"),
        ("vda_vits", "my_metric_net.pth", "video-metric"),
    ],
)
def test_the_name_tells_releases_apart(golden_name: str, path: str, variant: str) -> None:
    found = recognised(golden_name, path)
    assert getattr(found.config, "variant", None) == variant
    assert found.decided_by["variant"] == "name"
    assert (found.kind is METRIC) == ("metric" in variant)


HF_V1 = {"model_type": "depth_anything", "backbone_config": {"out_indices": [9, 10, 11, 12]}}
HF_V2 = {
    "model_type": "depth_anything", "depth_estimation_type": "relative",
    "backbone_config": {"out_indices": [3, 6, 9, 12]},
}  # fmt: skip
HF_INDOOR = {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 20}
HF_OUTDOOR = {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 80}
HF_OWN_RANGE = {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 35}


@pytest.mark.parametrize(
    ("content", "variant", "max_depth"),
    [
        (HF_V1, "v1", None),
        (HF_V2, "v2", None),
        (HF_INDOOR, "v2-metric-indoor", 20),
        (HF_OUTDOOR, "v2-metric-outdoor", 80),
        (HF_OWN_RANGE, "v2-metric-indoor", 35),
    ],
)
def test_a_config_beside_the_file_goes_before_its_name(
    content: dict[str, object], variant: str, max_depth: float | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    found = recognised("da2_vits", str(tmp_path / "something_v2.pth"))
    assert getattr(found.config, "variant", None) == variant
    assert getattr(found.config, "max_depth", None) == max_depth
    assert found.decided_by["variant"] == "config.json"


@pytest.mark.parametrize("variant", ["v3-mono", "v3-metric"])
def test_the_config_of_a_v3_repository_tells_mono_from_metric(variant: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_name": f"da{variant.removeprefix('v')}-large".replace("-m", "m")})
    )
    shapes = {key: tuple(tensor.shape) for key, tensor in small_v3_state_dict().items()}
    found = recognise(shapes, Evidence(tmp_path / "model.safetensors"))
    assert (getattr(found.config, "variant", None), found.decided_by["variant"]) == (variant, "config.json")


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", '{"model_type": "bert"}'])
def test_a_config_that_says_nothing_is_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert recognised("da2_vits", str(tmp_path / "a_v2.pth")).decided_by["variant"] == "name"


def test_witnesses_are_heard_in_order_and_contradictions_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(HF_OUTDOOR))
    path = str(tmp_path / "depth_anything_v2.pth")
    ordered = [
        ({"option": "v1", "by_sha256": "v2", "by_catalog": "v2"}, "option", "v1"),
        ({"by_sha256": "v2-metric-indoor", "by_catalog": "v2"}, "sha256", "v2-metric-indoor"),
        ({"by_catalog": "v1"}, "catalog", "v1"),
        ({}, "config.json", "v2-metric-outdoor"),
    ]
    for evidence, witness, variant in ordered:
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = recognised("da2_vits", path, **evidence)
        assert (found.decided_by["variant"], getattr(found.config, "variant", None)) == (witness, variant)
        assert f"{witness} says {variant}, but" in caplog.text


def test_where_nothing_tells_v2_is_assumed_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = recognised("da2_vits", "net.pth")
    assert found.decided_by["variant"] == "default"
    assert "v2 is assumed: say --variant if that is wrong" in caplog.text


def test_a_metric_file_of_unknown_range_is_not_guessed_at() -> None:
    with pytest.raises(
        CheckpointError, match="called metric, but nothing tells its range: say --variant v2-metric-indoor"
    ):
        recognised("da2_vits", "my_metric_net.pth")
    assert recognised("da2_vits", "my_metric_net.pth", option="v2-metric-outdoor").kind is METRIC


@pytest.mark.parametrize(
    ("golden_name", "option", "allowed"),
    [
        ("da2_vits", "v7", "allowed: v1, v2, v2-metric-indoor, v2-metric-outdoor"),
        ("da2_vits", "video", "allowed: v1, v2"),
        ("vda_vits", "v1", "allowed: video, video-metric"),
        ("midas_beitb16_384", "v1", "allowed: none, its family has one release"),
    ],
)
def test_a_variant_the_file_cannot_be_is_refused(golden_name: str, option: str, allowed: str) -> None:
    with pytest.raises(CheckpointError, match=f"variant '{option}' does not fit net.pth .*{allowed}"):
        recognised(golden_name, option=option)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["model.backbone.pretrained.camera_token"], "an any-view Depth Anything V3 network"),
        (["core.core.pretrained.model.cls_token", "attractors.0._net.0.weight"], "a ZoeDepth network"),
        (["scratch.refinenet1.resConfUnit1.bn1.weight"], "a segmentation DPT"),
        (
            ["conv1.weight", "fc.weight"],
            r"first keys are \['conv1.weight', 'fc.weight'\]; known families: .*depth_anything",
        ),
    ],
)
def test_networks_of_others_are_refused_by_name(keys: list[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognise(dict.fromkeys(keys, (3, 3)), Evidence(Path("net.pth")))


def test_shapes_that_make_no_network_are_an_error() -> None:
    shapes = {key: shape for key, shape in load("da2_vits").shapes.items() if "projects.2." not in key}
    with pytest.raises(CheckpointError, match=r"looks like depth_anything, but its shapes make no network"):
        recognise(shapes, Evidence(Path("v2.pth")))


def test_the_decision_stands_in_the_models_info(tmp_path: Path) -> None:
    save_file(small_state_dict(), tmp_path / "net.safetensors")
    info = load_model(tmp_path / "net.safetensors", variant="v2-metric-outdoor").info
    assert info.decided_by["variant"] == info.decided_by["kind"] == "option"
    assert (info.kind, info.max_depth) == (METRIC, 80)


def test_the_licence_of_a_published_file_is_known_by_its_name(tmp_path: Path) -> None:
    torch.save(small_state_dict(), tmp_path / "depth_anything_v2_vitl.pth")
    info = load_model(tmp_path / "depth_anything_v2_vitl.pth").info
    assert (info.license, info.decided_by["license"]) == ("CC-BY-NC-4.0", "name")
