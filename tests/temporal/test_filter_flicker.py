"""The flicker meter: what it counts, and what it leaves out."""

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from dptstream.temporal import FlickerMeter

from .scenes import depth_frame, picture, slope


def alternate(number: int, height: int = 48, width: int = 80) -> np.ndarray:
    """A depth that is raised and lowered from frame to frame."""
    return slope(height, width) + (0.1 if number % 2 else 0.0)


def test_a_still_picture_whose_depth_alternates_scores_the_step_over_the_range() -> None:
    meter = FlickerMeter()
    for number in range(6):
        meter.step(depth_frame(alternate(number), picture(), number), slope())
    low, high = np.percentile(slope(), (2, 98))
    assert meter.score.before == pytest.approx(0.1 / (high - low), rel=0.05)
    assert meter.score.after == 0
    assert meter.score.reduction == 1
    assert meter.score.still_share > 0.9


def test_noise_of_the_camera_leaves_a_picture_still() -> None:
    random = np.random.default_rng(1)
    meter = FlickerMeter()
    for number in range(4):
        noisy = np.clip(picture(0, 144, 256) + random.normal(0, 2.5, (144, 256, 3)), 0, 255).astype(np.uint8)
        meter.step(depth_frame(alternate(number, 144, 256), noisy, number))
    assert meter.score.still_share > 0.8


def test_only_what_stands_still_counts() -> None:
    meter = FlickerMeter()
    wide, half = picture(3, 48, 160), picture(0)
    for number in range(6):
        image, depth = half.copy(), slope()
        image[:, 40:] = wide[:, 3 * number : 3 * number + 40]
        depth[:, 40:] += 0.1 * (number % 2)
        meter.step(depth_frame(depth, image, number))
    assert meter.score.before is not None
    assert meter.score.before < 0.02
    assert 0.2 < meter.score.still_share < 0.6


def test_a_moving_camera_gives_no_score() -> None:
    meter = FlickerMeter()
    wide = picture(3, 48, 160)
    for number in range(6):
        meter.step(depth_frame(alternate(number), np.ascontiguousarray(wide[:, 3 * number : 3 * number + 80]), number))
    assert meter.score.before is None
    assert meter.score.reduction is None


def test_a_cut_is_no_flicker() -> None:
    meter = FlickerMeter()
    for number in range(6):
        meter.step(depth_frame(slope() + (number > 2), picture(), number, scene_cut=number == 3))
    assert meter.score.before == 0


def test_unknown_depth_is_left_out() -> None:
    meter = FlickerMeter()
    for number in range(4):
        depth = 1 / slope()
        depth[: 10 * (number % 2)] = np.nan
        meter.step(depth_frame(depth, picture(), number, kind=DepthKind.METRIC))
    assert meter.score.before == 0
