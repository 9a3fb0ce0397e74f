"""The high-resolution mode: tiles agree with the whole picture and add what it cannot see."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dptstream.models.network import predict
from dptstream.models.tiling import TiledModel, Tiling, fade, fit_to
from tests.golden import seeded_image
from tests.models.test_preprocess import DEPTH_ANYTHING


class BrightnessModel:
    """Says that bright is near, each time on a scale of its own, as relative networks do."""

    info = DEPTH_ANYTHING
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def new_feed(self) -> "BrightnessModel":
        return self

    def new_windows(self) -> None: ...

    def with_field_of_view(self, fov_x_rad: float) -> "BrightnessModel":
        return self

    def input_size_hw(self, picture_hw: tuple[int, int], *, size: int | None = None) -> tuple[int, int]:
        return 56, 84

    def preprocess(self, rgb_bhwc: Tensor, input_hw: tuple[int, int]) -> Tensor:
        images = rgb_bhwc.permute(0, 3, 1, 2).float() / 255
        return torch.nn.functional.interpolate(images, input_hw, mode="bilinear", antialias=True)

    def __call__(self, images_bchw: Tensor) -> Tensor:
        self.sizes.append(tuple(images_bchw.shape[-2:]))
        brightness = images_bchw.mean(dim=1)
        lowest = brightness.amin(dim=(1, 2), keepdim=True)
        return (brightness - lowest) / (brightness.amax(dim=(1, 2), keepdim=True) - lowest) * 7

    def predict(self, rgb_hwc: NDArray[np.uint8], *, size: int | None = None) -> NDArray[np.float32]:
        return predict(self, rgb_hwc, size=size)


def picture_with_fine_stripes() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:168, 0:252]
    brightness = 60 + 0.5 * x + 0.3 * y + 20 * (y % 4 < 2)
    return np.repeat(brightness[..., None], 3, axis=2).astype(np.uint8)


def test_tiles_agree_with_the_whole_and_show_what_it_cannot_see() -> None:
    picture = picture_with_fine_stripes()
    tiled = TiledModel(BrightnessModel(), Tiling(detail=3))
    input_hw = tiled.input_size_hw((168, 252))
    assert input_hw == (168, 252)
    images = tiled.preprocess(torch.from_numpy(picture)[None], input_hw)
    truth = images[0, 0].numpy()
    depth = tiled(images)[0].numpy()
    scale, shift = np.polyfit(truth.ravel(), depth.ravel(), 1)
    residue = np.abs(depth - (scale * truth + shift))[depth > 0]  # what is darker than all the whole shows is cut at 0
    assert residue.size > 0.99 * depth.size
    assert residue.max() < 0.01 * (depth.max() - depth.min())
    coarse = BrightnessModel().predict(picture)
    stripes = truth - np.mean([np.roll(truth, step, axis=0) for step in range(4)], axis=0)
    assert np.corrcoef(stripes[8:-8].ravel(), np.diff(depth, axis=0, prepend=0)[8:-8].ravel())[0, 1] > 0.5
    assert np.abs(np.diff(coarse, axis=0)).max() < 0.2 * np.abs(np.diff(depth, axis=0)).max()


def test_every_tile_has_the_networks_own_size_and_the_whole_is_covered() -> None:
    inner = BrightnessModel()
    tiled = TiledModel(inner, Tiling(detail=2, overlap=0.3))
    depth = tiled(torch.rand(1, 3, 112, 168))
    assert depth.shape == (1, 112, 168)
    assert torch.isfinite(depth).all()
    assert set(inner.sizes) == {(56, 84)}
    assert len(inner.sizes) == 1 + 3 * 3


def test_there_are_no_seams_between_tiles() -> None:
    y, x = np.mgrid[0:112, 0:168]
    ramp = torch.from_numpy((x + y) / 280.0).float().expand(1, 3, -1, -1)
    depth = TiledModel(BrightnessModel())(ramp)[0].numpy()
    steps = np.abs(np.diff(depth, axis=1))
    assert steps.max() < 1.5 * np.median(steps)


def test_a_batch_is_what_its_pictures_are_alone() -> None:
    pictures = torch.rand(2, 3, 112, 168)
    together = TiledModel(BrightnessModel())(pictures)
    for picture, depth in zip(pictures, together, strict=True):
        torch.testing.assert_close(TiledModel(BrightnessModel())(picture[None])[0], depth)


def test_detail_of_one_is_the_model_itself() -> None:
    inner = BrightnessModel()
    images = torch.rand(1, 3, 56, 84)
    depth = TiledModel(inner, Tiling(detail=1))(images)
    assert inner.sizes == [(56, 84)]
    torch.testing.assert_close(depth, BrightnessModel()(images), atol=1e-4, rtol=0)


def test_depth_comes_back_at_the_size_of_the_picture() -> None:
    depth = TiledModel(BrightnessModel()).predict(seeded_image(90, 131, 1))
    assert depth.shape == (90, 131)
    assert depth.min() >= 0


def test_a_tile_is_scaled_and_shifted_but_never_turned_over() -> None:
    reference = torch.rand(1, 8, 8)
    torch.testing.assert_close(fit_to(reference * 5 - 3, reference), reference)
    mean = reference.mean().expand(1, 8, 8)
    torch.testing.assert_close(fit_to(-reference, reference), mean)
    torch.testing.assert_close(fit_to(torch.full((1, 8, 8), 4.0), reference), mean)


def test_weights_fade_towards_the_rim_and_are_never_zero() -> None:
    weights = fade((28, 42), torch.device("cpu"))
    assert weights.min() > 0
    assert weights[14, 21] > 0.9
    assert weights[0].max() < 0.1


@pytest.mark.parametrize(
    ("choice", "message"), [({"detail": 0.5}, "detail is 0.5"), ({"overlap": 0.9}, "overlap is 0.9")]
)
def test_senseless_tilings_are_refused(choice: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tiling(**choice)
