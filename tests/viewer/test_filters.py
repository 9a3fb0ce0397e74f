from dataclasses import replace

import numpy as np
import pytest

from dptstream.geometry import DepthKind, Intrinsics
from dptstream.viewer.filters import FilterChain
from dptstream.viewer.scene import Scene
from dptstream.viewer.settings import Decimation, Filters, HoleFilling, Spatial, Temporal, Threshold, ViewSettings
from dptstream.wire import DepthPlane

from .filming import exact_points, film, filmed

CAMERA = Intrinsics.default(8, 6)
FLAT = np.full((6, 8), 2.0, np.float32)


def apply(filters: Filters, *maps: np.ndarray) -> np.ndarray:
    chain = FilterChain()
    return [chain.apply(depth.astype(np.float32), CAMERA, filters)[0] for depth in maps][-1]


def noisy(seed: int = 0) -> np.ndarray:
    steps = np.where(np.arange(8) < 4, 2.0, 4.0) + np.zeros((6, 1))
    return steps * (1 + 0.004 * np.random.default_rng(seed).standard_normal((6, 8)))


def test_every_filter_begins_switched_off() -> None:
    depth = noisy()
    np.testing.assert_array_equal(apply(Filters(), depth), depth.astype(np.float32))


def test_threshold_leaves_out_what_is_nearer_or_farther() -> None:
    depth = np.array([[0.05, 1.0, 4.5]])
    np.testing.assert_allclose(apply(Filters(threshold=Threshold(enabled=True)), depth), [[0, 1, 0]])


@pytest.mark.parametrize(("magnitude", "expected"), [(2, 2.0), (4, (3 * 2.0 + 9.0 * 12) / 15)])
def test_decimation_takes_the_median_of_small_blocks_and_the_mean_of_large_ones(
    magnitude: int, expected: float
) -> None:
    depth = np.full((4, 4), 9.0)
    depth[:2, :2] = [[2.0, 2.0], [2.0, 0.0]]  # one pixel without a value
    small = apply(Filters(decimation=Decimation(enabled=True, magnitude=magnitude)), depth)
    assert small.shape == (4 // magnitude, 4 // magnitude)
    assert small[0, 0] == pytest.approx(expected)


def test_decimation_keeps_the_rays_true() -> None:
    source = film(scene="wall")
    depth, full = source.truth(0).depth, source.info.intrinsics
    assert full is not None
    small, camera = FilterChain().apply(depth, full, Filters(decimation=Decimation(enabled=True, magnitude=5)))
    left = (0.5 - camera.cx) / camera.fx
    assert small.shape == (54 // 5, 96 // 5)
    assert left == pytest.approx(exact_points(depth)[0, 2, 0] / depth[0, 2], abs=1e-6)


def test_spatial_smooths_noise_and_keeps_edges() -> None:
    depth = noisy()
    smooth = apply(Filters(spatial=Spatial(enabled=True)), depth)
    assert smooth[:, :4].std() < 0.7 * depth[:, :4].std()
    assert abs(smooth[:, 3] - 2).max() < 0.05
    assert abs(smooth[:, 4] - 4).max() < 0.1


def test_temporal_steadies_what_moves_little_and_follows_a_jump_at_once() -> None:
    filters = Filters(temporal=Temporal(enabled=True))
    first = noisy()
    nearly = first.copy()
    nearly[0, 0] *= 1.002
    jumped = first.copy()
    jumped[0, 0] = 3.0
    moved = apply(filters, first, nearly)[0, 0] / first[0, 0] - 1
    assert moved == pytest.approx(0.4 * 0.002, rel=0.05)
    assert apply(filters, first, jumped)[0, 0] == pytest.approx(3.0)


@pytest.mark.parametrize(("persistency", "kept"), [(0, False), (3, True), (1, False), (8, True)])
def test_persistency_decides_who_keeps_a_value_that_is_gone(persistency: int, kept: bool) -> None:
    filters = Filters(temporal=Temporal(enabled=True, persistency=persistency))
    gone = FLAT.copy()
    gone[2, 2] = 0
    assert (apply(filters, FLAT, FLAT, FLAT, gone)[2, 2] > 0) == kept


def test_values_do_not_persist_for_ever() -> None:
    filters = Filters(temporal=Temporal(enabled=True))
    gone = FLAT.copy()
    gone[2, 2] = 0
    assert apply(filters, FLAT, FLAT, FLAT, gone, gone)[2, 2] > 0
    assert apply(filters, FLAT, FLAT, FLAT, gone, gone, gone, gone)[2, 2] == 0


def test_the_same_frame_shown_again_does_not_age() -> None:
    chain, filters = FilterChain(), Filters(temporal=Temporal(enabled=True))
    first, second = noisy(0).astype(np.float32), noisy(1).astype(np.float32)
    chain.apply(first, CAMERA, filters)
    once = chain.apply(second, CAMERA, filters)[0]
    np.testing.assert_array_equal(chain.apply(second, CAMERA, filters, again=True)[0], once)


@pytest.mark.parametrize(("fill", "expected"), [("left", 1.0), ("farthest", 5.0), ("nearest", 1.0)])
def test_holes_take_the_value_that_was_chosen(fill: str, expected: float) -> None:
    depth = np.array([[1.0, 0.0, 5.0], [1.0, 0.0, 5.0]])
    holes = HoleFilling(enabled=True, fill=fill)  # type: ignore[arg-type]
    assert (apply(Filters(hole_filling=holes), depth)[:, 1] == expected).all()


def test_a_map_without_any_value_stays_empty() -> None:
    everything = Filters(
        Decimation(enabled=True),
        Spatial(enabled=True),
        Temporal(enabled=True),
        HoleFilling(enabled=True),
        Threshold(enabled=True),
    )
    assert not apply(everything, np.zeros((6, 8)), np.zeros((6, 8))).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Decimation(magnitude=9),
        lambda: Spatial(alpha=0.1),
        lambda: Temporal(persistency=9),
        lambda: Threshold(minimum=3, maximum=2),
    ],
)
def test_filters_reject_settings_that_realsense_does_not_know(make: object) -> None:
    with pytest.raises(ValueError, match=r"must lie between|needs"):
        make()  # type: ignore[operator]


def test_a_scene_forgets_its_filters_at_a_cut() -> None:
    settings = ViewSettings(filters=Filters(temporal=Temporal(enabled=True, delta=100)), edge_cut=False)
    source = film()
    scene = Scene()
    scene.cloud(filmed(0, source=source), settings)
    steadied = scene.cloud(filmed(1, source=source), settings)
    cut = scene.cloud(filmed(1, source=source, scene_cut=True), settings)
    truth = source.truth(1).depth
    assert np.abs(cut.grid[..., 2] - truth).max() < 1e-3
    assert np.abs(steadied.grid[..., 2] - truth).max() > 1e-3


def test_a_range_that_changes_with_each_frame_does_not_pump() -> None:
    values = np.linspace(1, 2, 48, dtype=np.float32).reshape(6, 8)
    settings = ViewSettings(edge_cut=False)
    scene = Scene()

    def depth_of(low: float) -> float:
        plane = DepthPlane(values, DepthKind.RELATIVE_INVERSE, low, 2.0, scope="frame")
        return float(scene.cloud(filmed(depth=plane), settings).grid[3, 3, 2])

    before, after = depth_of(1.0), depth_of(0.5)
    fresh = float(
        Scene()
        .cloud(
            filmed(depth=replace(filmed().depth, codes=values, kind=DepthKind.RELATIVE_INVERSE, low=0.5, high=2.0)),
            settings,
        )
        .grid[3, 3, 2]
    )
    assert abs(after - before) < 0.25 * abs(fresh - before)
