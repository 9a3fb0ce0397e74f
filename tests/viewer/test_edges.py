"""Where depth is cut: real steps, and no slope however steep; on scenes whose every distance and border is known."""

import numpy as np
import pytest

from dptstream.viewer.edges import edge_masks, jumps

from .filming import STREET_WH, street

TOLERANCE = 0.03 * 640 / STREET_WH[0]
"""What `edge_threshold` makes of its default in a map so wide."""


def test_floors_and_walls_seen_at_a_grazing_angle_are_whole() -> None:
    distance, _ = street()
    steep = np.abs(np.diff(distance, axis=0)) > TOLERANCE * np.minimum(distance[1:], distance[:-1])
    assert steep.sum() > 100  # a plain limit of steps would cut there
    keep, solid = edge_masks(distance, TOLERANCE)
    assert keep.all()
    assert solid.all()


def test_a_box_on_the_street_is_cut_out_all_around_and_the_street_stays_whole() -> None:
    distance, seen = street(box=True)
    across, down = jumps(distance, TOLERANCE)
    box = seen == 4
    ratio_across = np.maximum(distance[:, 1:], distance[:, :-1]) / np.minimum(distance[:, 1:], distance[:, :-1])
    border_across = (box[:, 1:] != box[:, :-1]) & (ratio_across > 1 + TOLERANCE)
    border_down = box[1:] != box[:-1]
    assert across[border_across].all()
    assert down[border_down].all()
    assert not across[box[:, 1:] == box[:, :-1]].any()
    assert not down[box[1:] == box[:-1]].any()


@pytest.mark.parametrize("pixels", [1, 3, 8, 16])
def test_a_step_that_a_network_has_blurred_is_cut_all_along(pixels: int) -> None:
    inverse = np.repeat(np.interp(np.arange(640), [320, 320 + pixels], [1.0, 0.2]).astype(np.float32)[None], 8, axis=0)
    across, down = jumps(1 / inverse, 0.03)
    assert across[:, 320 : 320 + pixels].all()
    assert not across[:, :320].any()
    assert not across[:, 320 + pixels :].any()
    assert not down.any()


def test_a_step_within_a_slope_is_cut_where_it_is() -> None:
    inverse = np.repeat(np.linspace(1.0, 0.2, 64, dtype=np.float32)[None], 8, axis=0)
    inverse[:, 40:] *= 0.6
    across, _ = jumps(1 / inverse, 0.05)
    assert [tuple(place) for place in np.argwhere(across)] == [(row, 39) for row in range(8)]


def test_beside_a_pixel_without_a_value_depth_jumps_but_slopes_go_on() -> None:
    distance, _ = street()
    distance[100, 90] = 0
    across, down = jumps(distance, TOLERANCE)
    assert [tuple(place) for place in np.argwhere(across)] == [(100, 89), (100, 90)]
    assert [tuple(place) for place in np.argwhere(down)] == [(99, 90), (100, 90)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_maps_of_any_size_have_edges(shape: tuple[int, int]) -> None:
    keep, solid = edge_masks(np.ones(shape, np.float32), TOLERANCE)
    assert keep.all()
    assert solid.shape == (shape[0] - 1, shape[1] - 1)
