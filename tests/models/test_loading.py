"""From files to running models: formats, the authors' numbers, and every way a file can be wrong."""

import io
import json
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dptstream.errors import CheckpointError, DeviceError
from dptstream.geometry import DepthKind
from dptstream.models import catalog, default_model_name, installed_models, load_model
from dptstream.models.loading import find_checkpoint
from dptstream.models.store import Store
from dptstream.models.weights import find_weights, read_checkpoint
from tests.golden import load, seeded_clip_frame, seeded_image, seeded_state_dict
from tests.models.small_checkpoint import small_state_dict, small_v3_state_dict

PICTURE = seeded_image(40, 60, 1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "depth_anything_v2_small.safetensors"
    save_file(small_state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("golden_name", "file_name", "kind"),
    [
        ("da2_vits", "depth_anything_v2_vits.pth", DepthKind.RELATIVE_INVERSE),
        ("da2m_vits_20", "depth_anything_v2_metric_hypersim_vits.pth", DepthKind.METRIC),
    ],
)
def test_the_whole_path_gives_the_authors_numbers(
    golden_name: str, file_name: str, kind: DepthKind, tmp_path: Path
) -> None:
    torch.save(seeded_state_dict(golden_name), tmp_path / file_name)
    model = load_model(tmp_path / file_name)
    expected = load(golden_name).arrays["infer_image_180x320_input252"]
    depth = model.predict(seeded_image(180, 320, 2), size=252)
    assert depth.shape == (180, 320)
    assert depth.dtype == np.float32
    assert np.abs(depth - expected).max() < 1e-4 * expected.std()
    assert model.info.kind is kind
    assert model.info.decided_by["variant"] == "name"


MIDAS = {
    "midas_beitb16_384": ("192x320", "beit_base_384", 1e-4),
    "midas_swin2t16_256": ("256x256", "swin2_tiny_256", 1e-4),
    "midas_vitb_rn50_384": ("192x320", "hybrid_384", 5e-4),
}


@pytest.mark.parametrize("golden_name", MIDAS)
def test_midas_files_load_with_the_buffers_they_hold_and_give_the_authors_numbers(
    golden_name: str, tmp_path: Path
) -> None:
    size, variant, tolerance = MIDAS[golden_name]
    buffers = {key: torch.zeros(shape) for key, shape in load(golden_name).buffers.items()}
    torch.save(seeded_state_dict(golden_name) | buffers, tmp_path / "net.pt")
    model = load_model(tmp_path / "net.pt")
    height, width = (int(side) for side in size.split("x"))
    picture = torch.from_numpy(seeded_image(height, width, 1))[None]
    expected = load(golden_name).arrays[f"forward_{size}"]
    depth = model(model.preprocess(picture, (height, width)))[0].numpy()
    assert np.abs(depth - expected).max() < tolerance * expected.std()
    assert (model.info.variant, model.info.output_resize) == (variant, "bicubic")


def write_plain(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, path)


def write_old_format(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def write_training(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save({"optimizer": {"step": 3}, "model": {f"module.{key}": value for key, value in tensors.items()}}, path)


def write_lightning(path: Path, tensors: dict[str, Tensor]) -> None:
    torch.save({"epoch": 1, "state_dict": tensors}, path)


@pytest.mark.parametrize("write", [write_plain, write_old_format, write_training, write_lightning, save_file])
def test_every_way_of_saving_gives_the_same_model(write: Any, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / ("v2.safetensors" if write is save_file else "v2.pth")
    if write is save_file:
        save_file(small_state_dict(), path)
    else:
        write(path, small_state_dict())
    expected = load_model(checkpoint).predict(PICTURE, size=28)
    np.testing.assert_array_equal(load_model(path).predict(PICTURE, size=28), expected)


def test_half_precision_files_are_computed_in_float32(tmp_path: Path) -> None:
    halves = {key: tensor.half() for key, tensor in small_state_dict().items()}
    save_file(halves, tmp_path / "v2.safetensors")
    save_file({key: tensor.float() for key, tensor in halves.items()}, tmp_path / "v2_float.safetensors")
    model = load_model(tmp_path / "v2.safetensors")
    assert model.dtype == torch.float32
    expected = load_model(tmp_path / "v2_float.safetensors").predict(PICTURE, size=28)
    np.testing.assert_array_equal(model.predict(PICTURE, size=28), expected)


def test_a_model_says_all_that_is_known_of_it(checkpoint: Path) -> None:
    info = load_model(checkpoint).info
    assert info.family == "depth_anything"
    assert info.variant == "v2"
    assert info.parameters == sum(
        tensor.numel()
        for key, tensor in small_state_dict().items()
        if "mask_token" not in key and "4.resConfUnit1" not in key
    )
    assert info.sha256 == read_checkpoint(checkpoint).sha256
    assert (info.license, info.decided_by["license"]) == ("unknown", "default")
    assert (info.base_size, info.size_multiple, info.output_resize) == (518, 14, "bilinear_corners")
    record = json.loads(json.dumps(info.as_record()))
    assert record["kind"] == "relative_inverse"
    assert record["unit"] is None


def test_one_protocol_call_by_call_equals_predict(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    input_hw = model.input_size_hw((56, 84), size=56)
    assert input_hw == (56, 84)
    picture = seeded_image(56, 84, 4)
    images = model.preprocess(torch.from_numpy(picture)[None], input_hw)
    np.testing.assert_array_equal(model(images)[0].numpy(), model.predict(picture, size=56))


def test_read_only_and_strided_pictures_are_welcome(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    expected = model.predict(PICTURE, size=28)
    frozen = PICTURE.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(model.predict(frozen, size=28), expected)
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 10:70] = PICTURE
    np.testing.assert_array_equal(model.predict(wide[:, 10:70], size=28), expected)
    np.testing.assert_array_equal(model.predict(PICTURE[:, ::-1][:, ::-1], size=28), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (41, 61)])
def test_pictures_of_any_size_come_back_at_their_size(shape: tuple[int, int], checkpoint: Path) -> None:
    depth = load_model(checkpoint).predict(seeded_image(*shape, 1), size=14)
    assert depth.shape == shape
    assert np.isfinite(depth).all()


def test_predict_refuses_what_is_no_rgb_picture(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match=r"the picture must be \(H, W, 3\) uint8; got \(4, 4\) uint8"):
        load_model(checkpoint).predict(np.zeros((4, 4), np.uint8))


def test_padding_is_cut_away_and_keeps_the_aspect(checkpoint: Path) -> None:
    model = load_model(checkpoint, fit="pad", size=28)
    input_hw = model.input_size_hw((40, 60))
    assert input_hw == (28, 42)
    uneven = model.input_size_hw((40, 71))
    assert uneven == (28, 50)
    images = model.preprocess(torch.from_numpy(seeded_image(40, 71, 1))[None], uneven)
    assert model(images).shape == (1, 28, 50)
    plain = load_model(checkpoint)
    np.testing.assert_array_equal(model.predict(PICTURE), plain.predict(PICTURE, size=28))


def test_choices_can_change_without_loading_again(checkpoint: Path) -> None:
    from dptstream.models.preprocess import Preprocessing

    model = load_model(checkpoint)
    square = model.with_preprocessing(Preprocessing(size=28, fit="stretch"))
    assert square.network is model.network
    assert square.input_size_hw((40, 60)) == (28, 28)
    assert model.preprocessing.size is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_and_gives_float32(dtype: torch.dtype, checkpoint: Path) -> None:
    exact = load_model(checkpoint).predict(PICTURE, size=28)
    model = load_model(checkpoint, dtype=dtype)
    depth = model.predict(PICTURE, size=28)
    assert model.dtype == dtype
    assert depth.dtype == np.float32
    assert model(torch.zeros(1, 3, 14, 14)).dtype == torch.float32
    assert 0 < np.abs(depth - exact).mean() < 0.1 * exact.std() + 0.02 * np.abs(exact).mean()


def test_a_feed_of_a_video_network_is_the_authors_streaming(tmp_path: Path) -> None:
    torch.save(seeded_state_dict("vda_vits"), tmp_path / "video_depth_anything_vits.pth")
    model = load_model(tmp_path / "video_depth_anything_vits.pth")
    assert model.info.temporal
    expected = load("vda_vits").arrays["stream_36x98x126_input98"][:3]
    feed, other = model.new_feed(), model.new_feed()
    other.predict(seeded_image(98, 126, 1), size=98)
    frames = [seeded_clip_frame(index, count=36, height=98, width=126) for index in range(11)]
    depths = np.stack([feed.predict(frame, size=98) for frame in frames])[::5]
    assert np.abs(depths - expected).max() < 1e-4 * expected.std()
    alone = feed.predict(seeded_image(56, 70, 1), size=56)  # another size: the feed starts anew
    np.testing.assert_allclose(alone, model.new_feed().predict(seeded_image(56, 70, 1), size=56))


def test_a_network_of_single_pictures_is_its_own_feed(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    assert not model.info.temporal
    assert model.new_feed() is model


def test_a_network_that_needs_a_camera_gives_metres_only_with_one(tmp_path: Path) -> None:
    save_file(small_v3_state_dict(), tmp_path / "da3metric.safetensors")
    model = load_model(tmp_path / "da3metric.safetensors", size=28)
    assert (model.info.kind, model.info.canonical_focal_px) == (DepthKind.RELATIVE, 300)
    metric = model.with_field_of_view(np.radians(90))
    assert (metric.info.kind, metric.info.decided_by["kind"]) == (DepthKind.METRIC, "field of view")
    network_width = model.input_size_hw(PICTURE.shape[:2])[1]
    expected = model.predict(PICTURE) * (network_width / 2) / 300  # at 90 degrees the focal length is half the width
    np.testing.assert_allclose(metric.predict(PICTURE), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="field of view must lie between 0 and 180 degrees"):
        model.with_field_of_view(0)


def test_other_networks_do_not_care_for_the_camera(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    assert model.with_field_of_view(1.0) is model


def test_results_carry_no_gradients(checkpoint: Path) -> None:
    model = load_model(checkpoint)
    assert not model(torch.zeros(1, 3, 14, 14)).requires_grad
    assert not any(weight.requires_grad for weight in model.network.parameters())


def test_loading_leaves_the_random_numbers_of_the_caller_alone(checkpoint: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_model(checkpoint)
    torch.testing.assert_close(torch.rand(2), expected)


def test_cuda_where_there_is_none_is_a_clear_error(checkpoint: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match=r"device cuda was asked for, but torch .* finds no CUDA device here"):
        load_model(checkpoint, device="cuda")


def archive_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"hello, this is a note\n", r"it is text that begins with 'hello, this"),
        (b"  <!DOCTYPE html><html>404</html>", "it is a web page, saved in place of the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "its first bytes are 89 50 4e 47"),
        (archive_of({"readme.txt": b"hi"}), r"is a zip archive of \['readme.txt'\], no checkpoint; unpack it"),
        (b"PK\x03\x04" + bytes(600), "is cut off: it has no end record"),
        (b"\x80\x02" + bytes(40), "is damaged or cut off|is no pure state dict"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named_for_what_it_is(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "net.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.9999])
@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".old.pth"])
def test_a_file_cut_off_anywhere_is_an_error(ending: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / f"v2{ending}"
    if ending == ".safetensors":
        save_file(small_state_dict(), path)
    else:
        torch.save(small_state_dict(), path, _use_new_zipfile_serialization=ending == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError, match=r"(bytes early|cut off).*download it again"):
        load_model(path)


class Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.witness,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_wants_to_run_code_is_refused_and_runs_none(tmp_path: Path, *, zipped: bool) -> None:
    path, witness = tmp_path / "net.pth", tmp_path / "ran"
    torch.save({"weight": Hostile(witness)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"net.pth wants to run \S+ when it is read and is refused"):
        load_model(path)
    assert not witness.exists()


def test_a_bare_pickle_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    path, witness = tmp_path / "net.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Hostile(witness), protocol=2))
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        load_model(path)
    assert not witness.exists()


def test_missing_and_left_over_entries_are_listed(tmp_path: Path) -> None:
    tensors = small_state_dict()
    del tensors["pretrained.blocks.2.norm1.bias"]
    tensors["something.else"] = torch.zeros(3)
    save_file(tensors, tmp_path / "v2.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(\S*2.norm_1.bias\); 1 left over \(something.else\)"):
        load_model(tmp_path / "v2.safetensors")


def test_entries_of_another_shape_are_listed(tmp_path: Path) -> None:
    tensors = small_state_dict()
    tensors["pretrained.norm.weight"] = torch.zeros(65)
    save_file(tensors, tmp_path / "v2.safetensors")
    with pytest.raises(CheckpointError, match=r"1 of another shape \(image_encoder.norm.weight\)"):
        load_model(tmp_path / "v2.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, no state dict"),
        ({"epoch": 3}, "holds no tensors; its first keys are"),
        (3, "holds a int"),
    ],
)
def test_a_file_without_weights_is_an_error(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "net.pth")


def test_a_checkpoint_that_holds_itself_does_not_hang(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        load_model(tmp_path / "net.pth")


def test_an_absent_file_and_an_unknown_name_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file .*gone\.pth"):
        load_model(tmp_path / "gone.pth")
    with pytest.raises(
        CheckpointError, match=r"no model and no file is called 'depth-anything-v2-smal'; did you mean depth"
    ):
        load_model("depth-anything-v2-smal")
    with pytest.raises(CheckpointError, match="dptstream models list shows all names"):
        load_model("xyzzy")


def test_a_catalog_name_wins_over_a_folder_of_that_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "locate", lambda _, entry: checkpoint if entry.name == "tiny" else None)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("tiny") == (checkpoint, catalog.find("tiny"))
    for folder in ("./tiny", Path("tiny"), "mine"):
        with pytest.raises(CheckpointError, match="is a folder without a checkpoint"):
            find_checkpoint(folder)


def test_a_path_may_begin_at_home(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    monkeypatch.setenv("USERPROFILE", str(checkpoint.parent))
    assert find_checkpoint(f"~/{checkpoint.name}") == (checkpoint, None)


def test_a_folder_with_one_checkpoint_stands_for_it(checkpoint: Path) -> None:
    assert find_weights(checkpoint.parent) == checkpoint
    expected = load_model(checkpoint).predict(PICTURE, size=28)
    np.testing.assert_array_equal(load_model(checkpoint.parent).predict(PICTURE, size=28), expected)


def test_a_folder_with_none_or_many_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is a folder without a checkpoint"):
        load_model(tmp_path / "empty")
    save_file(small_state_dict(), tmp_path / "another.safetensors")
    with pytest.raises(CheckpointError, match="holds 2 checkpoints"):
        load_model(checkpoint.parent)


def test_the_default_model_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPTSTREAM_MODEL", raising=False)
    assert default_model_name() == "tiny"
    monkeypatch.setenv("DPTSTREAM_MODEL", "depth-anything-v2-small")
    assert default_model_name() == "depth-anything-v2-small"


def test_a_damaged_file_in_the_cache_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--depth-anything--Depth-Anything-V2-Small" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    torch.save(small_state_dict(), snapshot / "depth_anything_v2_vits.pth")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert "depth-anything-v2-small" in installed_models()
    with pytest.raises(CheckpointError, match=r"is not the published depth-anything-v2-small .*models remove"):
        load_model("depth-anything-v2-small")


def test_loading_says_nothing_where_nothing_is_doubtful(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_model(checkpoint)
    assert caplog.records == []
