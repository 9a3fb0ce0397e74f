"""Motion on the small grey picture: found where it is, and none where there is none."""

import numpy as np
import pytest

from dptstream.temporal.motion import estimate_motion, thumbnail

from .scenes import picture


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 2.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_noise_is_no_motion() -> None:
    image = picture(0, 144, 256)
    motion = estimate_motion(thumbnail(noisy(image, 1)), thumbnail(noisy(image, 2)), sigma=11)
    assert (motion.flow == 0).mean() > 0.95
    assert motion.confidence.mean() > 0.95


def test_a_slide_is_found_in_full() -> None:
    wide = picture(3, 144, 320)
    motion = estimate_motion(thumbnail(wide[:, 5:261]), thumbnail(wide[:, 9:265]), sigma=11)
    inner = motion.flow[:, 10:-10, 10:-10]
    assert np.median(np.abs(inner[0] - 4)) < 0.3
    assert np.median(np.abs(inner[1])) < 0.3


def test_what_appears_is_not_trusted() -> None:
    before, now = picture(0, 144, 256), picture(0, 144, 256)
    now[40:80, 60:120] = picture(9, 144, 256)[40:80, 60:120]
    confidence = estimate_motion(thumbnail(before), thumbnail(now), sigma=11).confidence
    assert confidence[45:75, 65:115].mean() < 0.5
    assert confidence[100:, 140:].mean() > 0.95


@pytest.mark.parametrize("change", [20, -20])
def test_other_light_is_no_disagreement(change: int) -> None:
    image = np.clip(picture(0, 144, 256), 30, 220)
    lit = (image.astype(int) + change).astype(np.uint8)
    assert estimate_motion(thumbnail(image), thumbnail(lit), sigma=11).confidence.mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (700, 2), (1080, 1920)])
def test_any_size_of_picture_is_taken(size: tuple[int, int]) -> None:
    grey = thumbnail(np.zeros((*size, 3), np.uint8))
    assert grey.shape[1] <= 256
    assert estimate_motion(grey, np.full_like(grey, 9), sigma=11).flow.shape == (2, *grey.shape)
