"""The measurements on inputs whose answer is known."""

import math

import numpy as np
import pytest

from examples.train_tiny import metrics
from examples.train_tiny.evaluate import input_size_hw, measure_all, table


@pytest.fixture
def depth() -> np.ndarray:
    rows = np.linspace(12.0, 2.0, 40)[:, None] * np.ones((1, 60))
    rows[10:30, 20:40] = 1.5  # something that stands before the slope
    return rows


def everywhere(depth: np.ndarray) -> np.ndarray:
    return np.ones(depth.shape, bool)


def test_scale_and_shift_do_not_matter(depth):
    valid = everywhere(depth)
    aligned = metrics.align(7.0 / depth + 3.0, depth, valid)
    scores = metrics.score(aligned, depth, valid, 80.0)
    assert scores.abs_rel == pytest.approx(0.0, abs=1e-9)
    assert scores.delta1 == 1.0


def test_errors_are_those_of_the_definition(depth):
    valid = everywhere(depth)
    scores = metrics.score(1.0 / (1.3 * depth), depth, valid, 80.0)
    assert scores.abs_rel == pytest.approx(0.3)
    assert scores.delta1 == 0.0


def test_depth_beyond_the_farthest_is_clipped():
    depth = np.full((4, 4), 50.0)
    scores = metrics.score(np.zeros((4, 4)), depth, np.ones((4, 4), bool), 80.0)
    assert scores.abs_rel == pytest.approx(30.0 / 50.0)


def test_the_order_of_pairs_is_right_for_the_truth_and_wrong_for_its_opposite(depth):
    rng = np.random.default_rng(0)
    assert metrics.ordered_share(1.0 / depth, depth, everywhere(depth), rng) == 1.0
    assert metrics.ordered_share(depth, depth, everywhere(depth), rng) == 0.0


def test_a_slope_has_no_depth_edges_and_a_step_has(depth):
    edges = metrics.depth_edges(depth)
    assert edges[10:30, 19].all()
    assert not edges[:, :15].any()


def test_sharp_depth_has_its_steps_at_the_edges_and_blurred_depth_beside_them(depth):
    sharp_px, sharp_share = metrics.edge_distance(1.0 / depth, depth, 80.0)
    moved_px, moved_share = metrics.edge_distance(np.roll(1.0 / depth, 9, axis=1), depth, 80.0)
    assert sharp_px <= 1.0
    assert sharp_share > 0.95
    assert moved_share < sharp_share
    assert moved_px > sharp_px


def test_distances_are_those_of_a_chessboard():
    edges = np.zeros((9, 9), bool)
    edges[4, 4] = True
    distance = metrics.distances_to(edges)
    assert distance[4, 4] == 0
    assert distance[0, 8] == 4
    assert distance[4, 7] == 3


def test_the_truth_beats_both_baselines_and_the_ramp_beats_the_constant(depth):
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    rows = {row.who: row for row in measure_all(lambda _: (1.0 / depth).astype(np.float32), [(rgb, depth)])}
    assert rows["model"].abs_rel_near < 0.001
    assert rows["model"].ordered == 1.0
    assert rows["model"].abs_rel_near < rows["ramp"].abs_rel_near < rows["constant"].abs_rel_near
    assert math.isnan(rows["ramp"].edge_px)


def test_the_table_shows_every_set_and_who_was_measured(depth):
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    rows = measure_all(lambda _: (1.0 / depth).astype(np.float32), [(rgb, depth)])
    photographs = {
        "pairs": 4.0,
        "pairs_right": 0.75,
        "pairs_right_ramp": 0.5,
        "steps_within_3px_of_picture_edges": 0.8,
        "steps_by_chance": 0.3,
        "pictures_missing": ["sklearn:china"],
    }
    text = table({"a wall": rows, "photographs": photographs})
    assert "| a wall | model | 0.000" in text
    assert "| a wall | ramp |" in text
    assert "0.750 of 4 right (ramp 0.500)" in text
    assert "sklearn:china" in text


@pytest.mark.parametrize(
    ("picture_hw", "expected"), [((1080, 1920), (192, 336)), ((640, 480), (256, 192)), ((500, 741), (192, 288))]
)
def test_the_shorter_side_of_the_input_is_the_base_size(picture_hw, expected):
    assert input_size_hw(*picture_hw, 192, 16) == expected
