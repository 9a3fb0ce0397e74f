"""From pictures to network inputs: the authors' sizes, OpenCV's kernels, padding that is never black."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dptstream.geometry import DepthKind
from dptstream.models.base import ModelInfo
from dptstream.models.preprocess import AS_AUTHORS, Preprocessing, input_size_hw, pad_to_multiple, preprocess
from dptstream.models.resample import (
    area_by_weights,
    area_weights,
    cubic_by_taps,
    cubic_taps,
    resize_cubic,
    resize_cubic_quickly,
    resize_uint8,
)
from tests.golden import seeded_image

DEPTH_ANYTHING = ModelInfo(
    name="net", family="depth_anything", variant="v2 vits", kind=DepthKind.RELATIVE_INVERSE, parameters=1,
    size_multiple=14, base_size=518, resize_method="lower_bound", image_mean=(0.485, 0.456, 0.406),
    image_std=(0.229, 0.224, 0.225), output_resize="bilinear_corners", file=None, sha256=None, license="unknown",
)  # fmt: skip
MIDAS = dataclasses.replace(
    DEPTH_ANYTHING,
    size_multiple=32,
    base_size=384,
    resize_method="minimal",
    image_mean=(0.5,) * 3,
    image_std=(0.5,) * 3,
)
SWINV2 = dataclasses.replace(MIDAS, resize_method="stretch")
VIDEO = dataclasses.replace(DEPTH_ANYTHING, narrow_beyond=1.78)
V3 = dataclasses.replace(DEPTH_ANYTHING, base_size=504, resize_method="upper_bound")


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("info", "picture_wh", "expected_wh"),
    [
        (DEPTH_ANYTHING, (1920, 1080), (924, 518)),
        (DEPTH_ANYTHING, (1280, 720), (924, 518)),
        (DEPTH_ANYTHING, (640, 480), (686, 518)),
        (DEPTH_ANYTHING, (1080, 1920), (518, 924)),
        (DEPTH_ANYTHING, (1, 1), (518, 518)),
        (MIDAS, (1920, 1080), (672, 384)),
        (MIDAS, (640, 480), (512, 384)),
        (MIDAS, (320, 180), (384, 224)),
        (MIDAS, (1000, 10), (384, 32)),
        (dataclasses.replace(MIDAS, base_size=512), (1920, 1080), (896, 512)),
        (SWINV2, (1920, 1080), (384, 384)),
        (V3, (1920, 1080), (504, 280)),
        (V3, (480, 640), (378, 504)),
        (V3, (5000, 10), (504, 14)),
        (VIDEO, (1920, 1080), (924, 518)),
        # 518 * 1.777 / 2.35 = 391, to the nearest multiple 392; then 392 * 2.35 = 921
        (VIDEO, (2350, 1000), (924, 392)),
    ],
)
def test_network_sizes_are_the_authors(
    info: ModelInfo, picture_wh: tuple[int, int], expected_wh: tuple[int, int]
) -> None:
    assert input_size_hw(picture_wh[::-1], info) == expected_wh[::-1]


@pytest.mark.parametrize(
    ("info", "choices", "expected_wh"),
    [
        (DEPTH_ANYTHING, Preprocessing(size=252), (448, 252)),
        (DEPTH_ANYTHING, Preprocessing(size=250), (448, 252)),
        (DEPTH_ANYTHING, Preprocessing(fit="stretch"), (518, 518)),
        (DEPTH_ANYTHING, Preprocessing(fit="aspect"), (924, 518)),
        (DEPTH_ANYTHING, Preprocessing(fit="pad"), (921, 518)),
        (SWINV2, Preprocessing(fit="aspect"), (672, 384)),
        (SWINV2, Preprocessing(fit="pad"), (384, 216)),
        (DEPTH_ANYTHING, Preprocessing(size=1), (14, 14)),
    ],
)
def test_choices_change_the_size(info: ModelInfo, choices: Preprocessing, expected_wh: tuple[int, int]) -> None:
    assert input_size_hw((1080, 1920), info, choices) == expected_wh[::-1]


def test_a_picture_too_thin_for_any_size_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"a picture of 4000x1 .*crop it, or choose .* fit 'stretch'"):
        input_size_hw((1, 4000), DEPTH_ANYTHING)
    assert input_size_hw((1, 4000), DEPTH_ANYTHING, Preprocessing(fit="stretch")) == (518, 518)


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="a picture of 5x0 pixels has no depth"):
        input_size_hw((0, 5), DEPTH_ANYTHING)


@pytest.mark.parametrize(("choice", "message"), [({"size": 0}, "positive"), ({"fit": "crop"}, "aspect, stretch, pad")])
def test_senseless_choices_are_refused(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**choice)  # type: ignore[arg-type]


def exact_cubic(image_hwc: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    for axis, length in enumerate(size_hw):
        positions, weights = cubic_taps(image_hwc.shape[axis], length)
        shape = [1, 1, 1]
        shape[axis] = length
        parts = [np.take(image_hwc, positions[:, tap], axis) * weights[:, tap].reshape(shape) for tap in range(4)]
        image_hwc = np.sum(parts, axis=0)
    return image_hwc


@pytest.mark.parametrize("size_hw", [(52, 93), (200, 340), (91, 160), (1, 1)])
def test_the_cubic_kernel_is_opencvs_without_clipping(size_hw: tuple[int, int]) -> None:
    picture = noise(108, 192)
    reference = cv2.resize(picture.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    batch = torch.from_numpy(picture)[None]
    exact = exact_cubic(picture.astype(np.float64), size_hw)
    assert np.abs(reference - exact).max() < 255 * 2e-5  # older OpenCV rounds positions to float32
    assert np.abs(resize_cubic(batch, size_hw)[0].numpy() - exact).max() < 255 * 2e-5
    assert np.abs(cubic_by_taps(batch, size_hw)[0].numpy() - exact).max() < 255 * 1e-6
    if size_hw == (200, 340):
        assert exact.min() < -1
        assert exact.max() > 256


@pytest.mark.parametrize("size_hw", [(52, 93), (54, 96), (107, 192)])
def test_area_averages_are_opencvs(size_hw: tuple[int, int]) -> None:
    picture = noise(108, 192)
    reference = cv2.resize(picture.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_AREA)
    ours = area_by_weights(torch.from_numpy(picture)[None], size_hw)[0].numpy()
    assert np.abs(ours - reference).max() < 2e-3
    np.testing.assert_allclose(area_weights(192, size_hw[1]).sum(axis=1), 1)


@pytest.mark.parametrize("size_hw", [(52, 93), (120, 200), (52, 200)])
def test_bytes_are_resized_as_opencv_does(size_hw: tuple[int, int]) -> None:
    picture = noise(108, 192)
    shrinking = size_hw == (52, 93)
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    reference = cv2.resize(picture, size_hw[::-1], interpolation=method)
    ours = resize_uint8(torch.from_numpy(picture)[None], size_hw)[0].numpy()
    np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("info", [DEPTH_ANYTHING, MIDAS, SWINV2], ids=["depth anything", "midas", "swinv2"])
def test_resizing_happens_on_floats_before_the_normalisation(info: ModelInfo) -> None:
    picture = seeded_image(108, 192, 3)
    input_hw = input_size_hw((108, 192), info)
    resized = cv2.resize(picture / 255.0, input_hw[::-1], interpolation=cv2.INTER_CUBIC)
    expected = ((resized - info.image_mean) / info.image_std).transpose(2, 0, 1)
    images = preprocess(torch.from_numpy(picture)[None], input_hw, info, torch.float32)
    assert images.shape == (1, 3, *input_hw)
    assert images.is_contiguous()
    assert np.abs(images[0].numpy() - expected).max() < 1e-4


def test_v3_resizes_bytes_to_its_longest_side_and_then_to_the_patches() -> None:
    picture = seeded_image(360, 640, 3)
    between = cv2.resize(picture, (504, 284), interpolation=cv2.INTER_AREA)
    resized = cv2.resize(between, (504, 280), interpolation=cv2.INTER_AREA)
    expected = ((resized / 255.0 - V3.image_mean) / V3.image_std).transpose(2, 0, 1)
    images = preprocess(torch.from_numpy(picture)[None], input_size_hw((360, 640), V3), V3, torch.float32)
    assert np.abs(images[0].numpy() - expected).max() < 1e-6


def test_a_batch_is_what_its_pictures_are_alone() -> None:
    pictures = torch.from_numpy(np.stack([noise(50, 70), seeded_image(50, 70, 1)]))
    together = preprocess(pictures, (42, 56), DEPTH_ANYTHING, torch.float32)
    for picture, images in zip(pictures, together, strict=True):
        torch.testing.assert_close(preprocess(picture[None], (42, 56), DEPTH_ANYTHING, torch.float32)[0], images)


@pytest.mark.parametrize(
    "pictures", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 8, 3), torch.zeros(8, 8, 3).byte()]
)
def test_what_is_no_batch_of_pictures_is_refused(pictures: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"pictures must be \(B, H, W, 3\) uint8; got"):
        preprocess(pictures, (14, 14), DEPTH_ANYTHING, torch.float32)


@pytest.mark.parametrize(("info", "padded_hw"), [(DEPTH_ANYTHING, (28, 42)), (SWINV2, (32, 32))])
def test_padding_repeats_the_edge_on_both_sides(info: ModelInfo, padded_hw: tuple[int, int]) -> None:
    images = torch.arange(25 * 30, dtype=torch.float32).reshape(1, 1, 25, 30)
    padded, (top, left) = pad_to_multiple(images, info)
    assert padded.shape[-2:] == padded_hw
    torch.testing.assert_close(padded[..., top : top + 25, left : left + 30], images)
    assert padded[0, 0, 0, 0] == images[0, 0, 0, 0]
    assert padded[0, 0, -1, -1] == images[0, 0, -1, -1]
    assert (padded > 0).sum() >= padded.numel() - (top + 1) * (left + 1)  # nothing new is black


def test_the_default_changes_nothing() -> None:
    assert Preprocessing() == AS_AUTHORS
    assert (AS_AUTHORS.size, AS_AUTHORS.fit) == (None, None)


@pytest.mark.parametrize(("from_hw", "to_hw"), [((216, 384), (98, 182)), ((90, 120), (182, 238)), ((56, 84), (56, 84))])
def test_the_quick_resize_is_off_by_less_than_half_precision_rounds(from_hw, to_hw) -> None:
    pictures = torch.from_numpy(np.stack([seeded_image(*from_hw, seed) for seed in (1, 2)]))
    quick_bchw, exact_bhwc = resize_cubic_quickly(pictures, to_hw), resize_cubic(pictures, to_hw)
    off_by = (quick_bchw - exact_bhwc.permute(0, 3, 1, 2)).abs().max() / 255 / 0.225
    assert off_by < 2**-10  # a step of float16 between 1 and 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is here")
@pytest.mark.parametrize("info", [DEPTH_ANYTHING, MIDAS, V3])
def test_a_graphics_card_prepares_half_precision_to_within_its_rounding(info: ModelInfo) -> None:
    pictures = torch.from_numpy(seeded_image(216, 384, 3))[None]
    input_hw = input_size_hw((216, 384), info, Preprocessing(size=252))
    expected = preprocess(pictures, input_hw, info, torch.float32)
    on_card = preprocess(pictures.cuda(), input_hw, info, torch.float16).cpu().float()
    assert (on_card - expected).abs().max() < (2 / 255 / 0.22 if info is V3 else 3e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is here")
@pytest.mark.parametrize(("info", "tolerance"), [(DEPTH_ANYTHING, 1e-5), (MIDAS, 1e-5), (V3, 2 / 255 / 0.22)])
def test_a_graphics_card_prepares_pictures_as_the_processor_does(info: ModelInfo, tolerance: float) -> None:
    pictures = torch.from_numpy(seeded_image(216, 384, 3))[None]
    input_hw = input_size_hw((216, 384), info, Preprocessing(size=252))
    expected = preprocess(pictures, input_hw, info, torch.float32)
    on_card = preprocess(pictures.cuda(), input_hw, info, torch.float32)
    assert on_card.is_cuda
    assert (on_card.cpu() - expected).abs().max() < tolerance
