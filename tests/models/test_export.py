"""ONNX files: they give PyTorch's depth, say what they need, and are refused or discarded where they cannot."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dptstream.errors import DptStreamError, MissingExtraError
from dptstream.models import export
from dptstream.models.export import OnnxExport, check_exportable, export_onnx
from dptstream.models.network import NetworkModel
from tests.models.families import small_model, small_size_hw

onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install "dptstream[export]"')
pytest.importorskip("onnxscript", reason='needs pip install "dptstream[export]"')


def run_file(path: Path, images: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["depth"], {"images": images.numpy()})[0]


def metadata_of(path: Path) -> dict[str, str]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


@pytest.fixture(scope="module")
def for_all_sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[NetworkModel, OnnxExport]:
    model = small_model("tiny")
    return model, export_onnx(model, tmp_path_factory.mktemp("onnx") / "any.onnx", (48, 80), dynamic=True)


@pytest.mark.parametrize("name", ["v2-metric-indoor", "v3-mono", "beit", "hybrid", "swinv2"])
def test_a_file_for_one_size_gives_the_depth_of_pytorch(name: str, tmp_path: Path) -> None:
    model, size_hw = small_model(name), small_size_hw(name)
    result = export_onnx(model, tmp_path / "deep" / "network.onnx", size_hw)
    assert result.error < 1e-3
    assert result.sizes_hw == (size_hw,)
    images = torch.randn(1, 3, *size_hw)
    expected = model(images)
    assert np.abs(run_file(result.path, images) - expected.numpy()).max() < 1e-3 * expected.std()
    assert [path.name for path in result.path.parent.iterdir()] == ["network.onnx"]


def test_a_file_for_all_sizes_gives_the_depth_of_pytorch_at_any(for_all_sizes: tuple[NetworkModel, OnnxExport]) -> None:
    model, result = for_all_sizes
    assert result.sizes_hw[0] == (48, 80)
    assert len(result.sizes_hw) == 3
    for size_hw in ((32, 96), (112, 48)):
        images = torch.randn(1, 3, *size_hw)
        expected = model(images)
        assert np.abs(run_file(result.path, images) - expected.numpy()).max() < 1e-3 * expected.std()


def test_a_file_says_what_it_takes_and_gives(for_all_sizes: tuple[NetworkModel, OnnxExport]) -> None:
    facts = metadata_of(for_all_sizes[1].path)
    assert json.loads(facts["image_mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(facts["image_std"]) == [0.229, 0.224, 0.225]
    assert (facts["kind"], facts["license"], facts["size_multiple"]) == ("relative_inverse", "unknown", "16")
    assert "multiples of 16" in facts["input"]
    assert "larger is nearer" in facts["output"]
    assert facts["generator"].startswith("dptstream ")
    assert "null" not in facts.values()


def test_weights_too_large_for_one_file_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_LARGEST_SINGLE_FILE", 1000)
    model = small_model("tiny")
    result = export_onnx(model, tmp_path / "network.onnx", (48, 80))
    assert result.data_path == tmp_path / "network.onnx.data"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.onnx", "network.onnx.data"]
    images = torch.randn(1, 3, 48, 80)
    np.testing.assert_allclose(run_file(result.path, images), model(images).numpy(), rtol=1e-3, atol=1e-4)
    assert json.loads(metadata_of(result.path)["size_hw"]) == [48, 80]


def test_a_file_that_gives_another_depth_is_not_kept_and_replaces_nothing(
    for_all_sizes: tuple[NetworkModel, OnnxExport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, exported = small_model("tiny"), for_all_sizes[1].path
    model.network.head.predict.weight.mul_(1.01)
    monkeypatch.setattr(export, "_write", lambda model, path, size_hw, dynamic: shutil.copy(exported, path))
    path = tmp_path / "network.onnx"
    path.write_bytes(b"an earlier one")
    with pytest.raises(DptStreamError, match=r"differs from PyTorch by 0\.0.* standard deviations .* was not kept"):
        export_onnx(model, path, (48, 80), overwrite=True)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("network.onnx", b"an earlier one")]


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"an earlier one")
    with pytest.raises(ValueError, match=r"network\.onnx exists; give --overwrite"):
        export_onnx(small_model("tiny"), path, (48, 80))
    assert path.read_bytes() == b"an earlier one"


@pytest.mark.parametrize(
    ("name", "size_hw", "dynamic", "reason"),
    [
        ("video", (56, 84), False, "is a video network: its depth depends on earlier frames"),
        ("beit", (64, 96), True, "cannot be exported for all sizes: its position bias is a table"),
        ("swinv2", (96, 160), True, "cannot be exported for all sizes: its windows, masks"),
        ("v2", (50, 84), False, "size 50x84 does not suit small-v2: both sides must be positive multiples of 14"),
        ("v2", (0, 84), True, "positive multiples of 14"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_reason(
    name: str, size_hw: tuple[int, int], dynamic: bool, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        check_exportable(small_model(name), size_hw, dynamic=dynamic)


def test_half_precision_is_refused() -> None:
    model = small_model("v2")
    model.network.half()
    with pytest.raises(ValueError, match="load it as float32 on the CPU"):
        check_exportable(model, (56, 84), dynamic=False)


def test_missing_packages_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(MissingExtraError, match=r'needs onnxscript: pip install "dptstream\[export\]"'):
        export_onnx(small_model("tiny"), tmp_path / "network.onnx", (48, 80))
