"""The computed film says the truth about itself: checked against its own pictures and by geometry."""

import itertools
import math
import threading
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest

from dptstream.errors import SourceError
from dptstream.geometry import unproject
from dptstream.sources import SourceOptions, open_source, parse_crop, parse_time
from dptstream.sources.synthetic import SyntheticSettings, SyntheticSource

SMALL = SyntheticSettings(width=160, height=90, frames=12, seed=3)
WALL = SyntheticSettings(scene="wall", width=160, height=90, frames=12, seed=3)


def pixel_centres(width, height):
    return np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))


def fetched_from_previous(previous, flow):
    columns, rows = pixel_centres(flow.shape[1], flow.shape[0])
    return cv2.remap(previous, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)


@pytest.mark.parametrize("settings", [SMALL, WALL], ids=["room", "wall"])
def test_equal_settings_give_equal_films(settings):
    first, second = list(SyntheticSource(settings)), list(SyntheticSource(settings))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("scene", ["room", "wall"])
def test_another_seed_gives_another_film(scene):
    one, other = (next(iter(SyntheticSource(SyntheticSettings(scene=scene, seed=seed)))) for seed in (1, 2))
    assert np.abs(one.image.astype(int) - other.image).mean() > 5


def test_frames_carry_exact_times():
    settings = SyntheticSettings(width=32, height=18, frames=3, fps=Fraction(30000, 1001))
    frames = list(SyntheticSource(settings))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(1001 * number, 30000) for number in range(3)]


def test_what_is_known_about_the_film():
    info = open_source("synthetic:width=200,height=100,frames=7,fps=50,fov_x_deg=90").info
    assert (info.name, info.width, info.height, info.frame_count, info.average_rate) == ("synthetic", 200, 100, 7, 50)
    assert info.intrinsics is not None
    assert info.intrinsics.fx == pytest.approx(100)
    assert info.intrinsics.origin == "file"


def test_the_location_of_a_film_opens_the_same_film_again():
    source = SyntheticSource(
        SyntheticSettings(width=32, height=18, frames=2, seed=9, fps=Fraction(30000, 1001), cuts=1)
    )
    again = open_source(source.info.location)
    assert again.info == source.info
    assert all(np.array_equal(a.image, b.image) for a, b in zip(source, again, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_flow_carries_the_previous_picture_onto_this_one(seed):
    source = SyntheticSource(SyntheticSettings(frames=12, seed=seed))
    frames = list(source)
    truth = source.truth(11)
    now, before = frames[11].image.astype(np.float32), frames[10].image.astype(np.float32)
    seen = ~truth.occluded
    with_flow = np.abs(fetched_from_previous(before, truth.flow) - now).mean(axis=-1)[seen].mean()
    without = np.abs(before - now).mean(axis=-1)[seen].mean()
    assert np.abs(truth.flow).max() > 1
    assert with_flow < 0.5 * without


@pytest.mark.parametrize("seed", range(4))
def test_depth_poses_and_camera_explain_the_flow_of_what_stands_still(seed):
    source = SyntheticSource(SyntheticSettings(width=160, height=90, frames=5, seed=seed))
    camera, now, before = source.info.intrinsics, source.truth(4), source.truth(3)
    assert camera is not None
    points = unproject(now.depth, camera).astype(np.float64).reshape(-1, 3)
    before_from_now = np.linalg.inv(before.world_from_camera) @ now.world_from_camera
    there = points @ before_from_now[:3, :3].T + before_from_now[:3, 3]
    columns, rows = pixel_centres(160, 90)
    flow_x = (there[:, 0] / there[:, 2] * camera.fx + camera.cx).reshape(90, 160) - (columns + 0.5)
    flow_y = (there[:, 1] / there[:, 2] * camera.fy + camera.cy).reshape(90, 160) - (rows + 0.5)
    still = ~now.moving
    assert still.mean() > 0.5
    np.testing.assert_allclose(now.flow[..., 0][still], flow_x[still], atol=2e-3)
    np.testing.assert_allclose(now.flow[..., 1][still], flow_y[still], atol=2e-3)
    np.testing.assert_allclose(now.previous_depth[still], there[:, 2].reshape(90, 160)[still], rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_point_seen_before_has_the_depth_that_the_previous_frame_shows_there(seed):
    source = SyntheticSource(SyntheticSettings(frames=12, seed=seed))
    now, before = source.truth(11), source.truth(10)
    shown = fetched_from_previous(before.depth, now.flow)
    seen = ~now.occluded
    difference = np.abs(shown - now.previous_depth) / now.previous_depth
    # Interpolation mixes two surfaces along outlines, on both sides of which the points are seen.
    assert np.median(difference[seen]) < 1e-3
    assert (difference[seen] < 0.01).mean() > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_a_point_that_was_hidden_lay_behind_what_the_previous_frame_shows_or_outside_of_it(seed):
    source = SyntheticSource(SyntheticSettings(frames=12, seed=seed))
    now, before = source.truth(11), source.truth(10)
    height, width = now.depth.shape
    columns, rows = pixel_centres(width, height)
    columns, rows = columns + 0.5 + now.flow[..., 0], rows + 0.5 + now.flow[..., 1]
    inside = (columns > 0) & (rows > 0) & (columns < width) & (rows < height)
    hidden = now.occluded & inside
    shown = before.depth[rows[hidden].astype(int), columns[hidden].astype(int)]
    assert hidden.any()
    assert now.occluded[~inside].all()
    # Pixels are points here, but the lookup takes the nearest one: outlines may miss by a pixel.
    assert (shown < now.previous_depth[hidden]).mean() > 0.6


def test_some_things_move_and_most_of_the_room_does_not():
    truth = SyntheticSource(SMALL).truth(5)
    assert 0.01 < truth.moving.mean() < 0.5


def test_depth_lies_between_the_camera_and_the_walls():
    truth = SyntheticSource(SMALL).truth(0)
    assert 0.3 < truth.depth.min() < 5
    assert truth.depth.max() < 15
    assert truth.depth.dtype == np.float32


def test_poses_are_rigid():
    pose = SyntheticSource(SMALL).truth(7).world_from_camera
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_array_equal(pose[3], (0, 0, 0, 1))


def test_a_cut_begins_another_scene_in_which_nothing_was_seen_before():
    source = SyntheticSource(SyntheticSettings(width=160, height=90, frames=9, cuts=3, seed=3))
    frames = list(source)
    truths = [source.truth(sequence) for sequence in range(9)]
    assert [truth.scene_cut for truth in truths] == [True, False, False] * 3
    assert all(truth.occluded.all() == truth.scene_cut for truth in truths)
    steps = [np.abs(b.image.astype(int) - a.image).mean() for a, b in itertools.pairwise(frames)]
    assert min(steps[2], steps[5]) > 2 * max(steps[:2])


def test_flow_refers_to_the_frame_given_before():
    every_third = SyntheticSource(SMALL, SourceOptions(every=3))
    assert [frame.pts for frame in every_third] == [0, 3, 6, 9]
    one_step = np.abs(SyntheticSource(SMALL).truth(9).flow).mean()
    three_steps = np.abs(every_third.truth(3).flow).mean()
    assert three_steps > 1.5 * one_step


def test_a_crop_cuts_pictures_and_truth_alike():
    crop = parse_crop("40,20,80,45")
    whole, part = SyntheticSource(SMALL), SyntheticSource(SMALL, SourceOptions(crop=crop))
    window = np.s_[20:65, 40:120]
    np.testing.assert_array_equal(list(part)[6].image, list(whole)[6].image[window])
    truth, whole_truth = part.truth(6), whole.truth(6)
    np.testing.assert_array_equal(truth.depth, whole_truth.depth[window])
    np.testing.assert_array_equal(truth.flow, whole_truth.flow[window])
    assert (truth.occluded | ~whole_truth.occluded[window]).all()
    assert part.info.intrinsics == whole.info.intrinsics.cropped(40, 20, 80, 45)


def test_the_wall_moves_by_whole_pixels_and_its_truth_is_exact():
    source = SyntheticSource(WALL)
    frames = list(source)
    for number in range(1, 12):
        truth = source.truth(number)
        moved = fetched_from_previous(frames[number - 1].image, truth.flow)
        seen = ~truth.occluded
        assert seen.mean() > 0.9
        np.testing.assert_array_equal(moved[seen], frames[number].image[seen])
        assert (truth.depth == 2).all()


def test_the_wall_costs_no_copy_and_cannot_be_scribbled_on():
    image = next(iter(SyntheticSource(WALL))).image
    assert not image.flags.owndata
    assert not image.flags.writeable


def test_the_wall_stays_within_its_canvas_for_ever():
    source = SyntheticSource(SyntheticSettings(scene="wall", width=16, height=9, frames=3000))
    assert all(frame.image.shape == (9, 16, 3) for frame in source)


def test_an_endless_film_ends_where_it_is_told_to():
    source = SyntheticSource(
        SyntheticSettings(scene="wall", width=16, height=9, frames=0), SourceOptions(end=parse_time("8f"))
    )
    assert source.info.frame_count == 8
    assert len(list(source)) == 8


def test_a_live_film_keeps_its_own_pace():
    settings = SyntheticSettings(scene="wall", width=16, height=9, frames=6, fps=Fraction(50))
    source = SyntheticSource(settings, SourceOptions(live=True))
    began = time.monotonic_ns()
    stamps = [frame.captured_ns for frame in source]
    assert source.info.live
    assert stamps[-1] - began >= 100_000_000
    assert stamps == sorted(stamps)


def test_a_live_film_ends_when_another_thread_closes_it():
    source = SyntheticSource(SyntheticSettings(scene="wall", frames=0, fps=Fraction(1, 60)), SourceOptions(live=True))
    reader = threading.Thread(target=lambda: list(source))
    reader.start()
    source.close()
    reader.join(timeout=60)
    assert not reader.is_alive()


def test_truth_of_a_frame_that_is_not_there_is_an_index_error():
    with pytest.raises(IndexError, match="no frame 12; the film gives 12 frames"):
        SyntheticSource(SMALL).truth(12)


def test_a_range_without_frames_is_an_error():
    with pytest.raises(SourceError, match="no frame lies within start and end"):
        list(SyntheticSource(SMALL, SourceOptions(start=parse_time("5:00"))))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("size=3", "unknown setting 'size'; there are: scene, width, height"),
        ("width=x", "cannot read width='x'"),
        ("fps=1/0", "cannot read fps='1/0'"),
        ("width=0", "sizes and fps must be positive"),
        ("scene=moon", "scene must be room or wall; got 'moon'"),
        ("fov_x_deg=180", "fov_x_deg must lie between 0 and 180"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        open_source(f"synthetic:{settings}")


def test_settings_are_read_from_the_command_line():
    text = "width=64, height=36,frames=5,fps=30000/1001,seed=2,cuts=3,scene=wall,fov_x_deg=75.5"
    settings = SyntheticSettings.parse(text)
    assert settings == SyntheticSettings("wall", 64, 36, 5, Fraction(30000, 1001), 2, 3, 75.5)
    assert math.isclose(settings.fov_x_deg, 75.5)
