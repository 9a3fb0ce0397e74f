"""Smoothing with the whole shot at hand: what it adds to the causal filter, and that it stays within bounds."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dptstream.frames import DepthFrame
from dptstream.geometry import DepthKind
from dptstream.temporal import CausalFilter, ShotStore, TemporalConfig, lookahead, smooth_shot
from dptstream.temporal.lookahead import smooth_path

from .scenes import depth_frame, picture, run, slope


def jittered(count: int, kind: DepthKind = DepthKind.RELATIVE_INVERSE, *, seed: int = 3) -> list[DepthFrame]:
    random = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        inverse = slope() * np.exp(0.04 * random.normal()) + 0.02 * random.normal()
        inverse = inverse + 0.02 * random.normal(size=inverse.shape)
        depth = inverse if kind is DepthKind.RELATIVE_INVERSE else 1 / inverse
        frames.append(depth_frame(depth, picture(), number, kind=kind))
    return frames


def look_ahead(frames: list[DepthFrame], config: TemporalConfig | None = None) -> list[np.ndarray]:
    with ShotStore() as store:
        for frame in frames:
            store.append(frame)
        return list(smooth_shot(store, config))


@pytest.mark.parametrize("kind", list(DepthKind))
def test_constant_depth_comes_out_identical(kind: DepthKind) -> None:
    for depth in look_ahead([depth_frame(slope(), picture(), number, kind=kind) for number in range(6)]):
        np.testing.assert_array_equal(depth, slope())


def test_it_is_nearer_to_the_truth_than_the_causal_filter_above_all_at_the_start() -> None:
    errors = np.zeros((2, 24))
    for seed in range(4):
        frames = jittered(24, seed=seed)
        for row, depths in enumerate((run(CausalFilter(), frames)[0], look_ahead(frames))):
            errors[row] += [np.abs(depth - slope()).mean() for depth in depths]
    assert errors[1].mean() < errors[0].mean()
    assert errors[1, 0] < 0.7 * errors[0, 0]


def test_it_flickers_less_than_the_causal_filter() -> None:
    frames = jittered(40)
    steps = [np.abs(np.diff(depths, axis=0)).mean() for depths in (run(CausalFilter(), frames)[0], look_ahead(frames))]
    assert steps[1] < 0.5 * steps[0]


def test_a_true_zoom_passes_without_delay() -> None:
    frames = [depth_frame(slope() * 1.01**number, picture(), number) for number in range(40)]
    for depth, frame in zip(look_ahead(frames), frames, strict=True):
        assert np.abs(depth / frame.depth - 1).mean() < 0.01


def test_a_long_shot_in_blocks_equals_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = jittered(70)
    whole = look_ahead(frames)
    monkeypatch.setattr(lookahead, "BLOCK", 20)
    blocks = look_ahead(frames)
    assert np.abs(np.array(whole) - np.array(blocks)).max() < 0.01
    assert len(blocks) == 70


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", list(DepthKind))
def test_what_is_no_number_stays_where_it_was(bad: float, kind: DepthKind) -> None:
    frames = jittered(12, kind)
    frames[0].depth[:] = bad
    frames[5].depth[4:9] = bad
    frames[11].depth[:] = bad
    for depth, frame in zip(look_ahead(frames), frames, strict=True):
        np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(frame.depth))


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_shots_come_through(count: int) -> None:
    frames = jittered(count)
    depths = look_ahead(frames)
    assert len(depths) == count
    assert np.abs(depths[0] - slope()).mean() < 0.1


def test_off_passes_every_frame_through() -> None:
    frames = jittered(3)
    for depth, frame in zip(look_ahead(frames, TemporalConfig.preset("off")), frames, strict=True):
        np.testing.assert_array_equal(depth, frame.depth)


def test_the_order_of_asking_does_not_matter_to_a_store() -> None:
    frames = jittered(5)
    with ShotStore() as store:
        for frame in frames:
            store.append(frame)
        for index in (4, 0, 2, 2):
            np.testing.assert_array_equal(store.depth(index), frames[index].depth)
            assert store.pts_seconds(index) == frames[index].video.pts_seconds
        with pytest.raises(IndexError, match="no frame 5 in a shot of 5"):
            store.depth(5)


def test_a_store_rejects_the_frame_of_another_shot() -> None:
    frames = jittered(3)
    with ShotStore() as store:
        store.append(frames[0])
        others = [
            replace(frames[1], scene_cut=True),
            depth_frame(slope(64, 96), picture(0, 64, 96), 1),
            depth_frame(slope(), picture(), 1, pts=100),
            depth_frame(slope(), picture(), 1, kind=DepthKind.METRIC),
        ]
        for other in others:
            assert not store.accepts(other)
            with pytest.raises(ValueError, match="does not continue the shot of 1 frames"):
                store.append(other)
        assert store.accepts(frames[1])


def test_scratch_files_lie_where_asked_and_are_gone_afterwards(tmp_path: Path) -> None:
    with ShotStore(tmp_path) as store:
        for frame in jittered(3):
            store.append(frame)
        assert len(list(smooth_shot(store, scratch=tmp_path))) == 3
    assert os.listdir(tmp_path) == []


def test_a_steady_path_passes_unaltered_and_a_jump_of_one_value_does_not_count() -> None:
    times = np.arange(60) / 25
    line = 0.3 + 0.5 * times
    spoiled = line.copy()
    spoiled[30] += 1
    np.testing.assert_allclose(smooth_path(line, times, np.ones(60)), line, atol=1e-9)
    np.testing.assert_allclose(smooth_path(spoiled, times, np.ones(60)), line, atol=0.01)


def test_noise_does_not_swing_the_ends_of_a_path_but_a_steady_change_goes_on_there() -> None:
    times, random = np.arange(60) / 25, np.random.default_rng(0)
    ends = np.array([smooth_path(random.normal(size=60), times, np.ones(60))[[0, -1]] for _ in range(60)])
    assert np.sqrt(np.mean(ends**2)) < 0.3
    climb = 4 * times + 0.2 * random.normal(size=(60, 60))
    ends = np.array([smooth_path(values, times, np.ones(60))[[0, -1]] for values in climb])
    np.testing.assert_allclose(ends.mean(axis=0), 4 * times[[0, -1]], atol=0.05)


def test_a_shots_first_frame_keeps_half_its_own_scale_and_the_next_tenths_of_a_second_go_over_to_the_shots() -> None:
    flat = [slope() * (1.1 if number == 0 else 1.0) for number in range(30)]
    depths = look_ahead([depth_frame(depth, picture(), number) for number, depth in enumerate(flat)])
    scales = [float(np.mean(depth) / np.mean(slope())) for depth in depths]
    assert scales[0] == pytest.approx(1.05, abs=0.01)
    assert max(np.diff(scales)) < 1e-3
    assert scales[10] == pytest.approx(1.0, abs=0.003)
