from dataclasses import replace

import numpy as np
import pytest

from dptstream.geometry import DepthKind
from dptstream.sinks.points import FAR_UNITS, NEAR_UNITS
from dptstream.viewer.cloud import Cloud, camera_of, distances, make_cloud
from dptstream.viewer.settings import Axes, ViewSettings
from dptstream.wire import DepthPlane, RawColor

from .filming import HEIGHT, WIDTH, exact_points, film, filmed, relative_inverse

WHOLE = ViewSettings(edge_cut=False)
"""Nothing is cut."""


def test_points_lie_within_a_millimetre_of_the_truth() -> None:
    source = film()
    points, colors = make_cloud(filmed(source=source), WHOLE).points()
    truth = exact_points(source.truth(0).depth).reshape(-1, 3)
    assert np.abs(points - truth).max() < 1e-3
    np.testing.assert_array_equal(colors, next(iter(source)).image.reshape(-1, 3))


@pytest.mark.parametrize(
    ("axes", "turn"),
    [
        ("opengl", ([1, 0, 0], [0, -1, 0], [0, 0, -1])),
        ("blender", ([1, 0, 0], [0, 0, 1], [0, -1, 0])),
        ("unity", ([1, 0, 0], [0, -1, 0], [0, 0, 1])),
    ],
)
def test_points_lie_within_a_millimetre_of_the_truth_in_other_axes(axes: Axes, turn: list[list[int]]) -> None:
    source = film()
    points, _ = make_cloud(filmed(source=source), replace(WHOLE, axes=axes)).points()
    truth = exact_points(source.truth(0).depth).reshape(-1, 3) @ np.array(turn).T
    assert np.abs(points - truth).max() < 1e-3


def test_the_points_of_a_stride_are_points_of_the_truth() -> None:
    source = film()
    cloud = make_cloud(filmed(source=source), replace(WHOLE, stride=3))
    truth = exact_points(source.truth(0).depth)[1::3, 1::3]
    assert np.abs(cloud.grid - truth).max() < 1e-3
    np.testing.assert_array_equal(cloud.colors, next(iter(source)).image[1::3, 1::3])


def test_relative_inverse_depth_gets_the_true_shape_where_near_and_far_are_true() -> None:
    source = film()
    truth = source.truth(0).depth
    message = filmed(source=source, depth=relative_inverse(truth))
    points, _ = make_cloud(message, replace(WHOLE, near=float(truth.min()), far=float(truth.max()))).points()
    assert np.abs(points - exact_points(truth).reshape(-1, 3)).max() < 1e-3


def test_relative_inverse_depth_lies_between_near_and_far_whatever_its_scale_and_shift() -> None:
    truth = film().truth(0).depth
    for scale, shift in ((7.0, -0.3), (0.01, 5.0)):
        found = distances(relative_inverse(truth, scale, shift), ViewSettings())
        assert found.min() == pytest.approx(ViewSettings().near, rel=1e-3)
        assert found.max() == pytest.approx(ViewSettings().far, rel=1e-2)


def test_what_is_converted_has_the_same_shape_as_what_is_viewed() -> None:
    assert (ViewSettings().near, ViewSettings().far) == (NEAR_UNITS, FAR_UNITS)


def test_a_plane_stays_a_plane_when_the_shift_is_unknown() -> None:
    inverse = np.linspace(0.2, 1.0, 40, dtype=np.float32)[:, None].repeat(50, axis=1)  # a floor, seen from above
    plane = DepthPlane(inverse * 3 + 2, DepthKind.RELATIVE_INVERSE, 2.6, 5.0)
    points, _ = make_cloud(filmed(depth=plane), WHOLE).points()
    flattest = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[-1]
    assert flattest / np.sqrt(len(points)) < 1e-4


def test_what_lies_behind_the_range_is_held_at_far_and_can_be_cut() -> None:
    values = np.full((4, 6), 0.8, np.float32)
    values[:, 3:] = -9.0
    message = filmed(depth=DepthPlane(values, DepthKind.RELATIVE_INVERSE, 0.0, 1.0))
    settings = ViewSettings(edge_cut=False)
    assert distances(message.depth, settings)[0, 5] == pytest.approx(settings.far)
    assert make_cloud(message, settings).keep.all()
    cut = make_cloud(message, replace(settings, cut_far=True))
    assert cut.keep[:, :3].all()
    assert not cut.keep[:, 3:].any()
    assert not cut.solid[:, 2:].any()


def test_relative_depth_is_scaled_as_a_whole() -> None:
    depth = film().truth(0).depth
    plane = DepthPlane(depth * 40, DepthKind.RELATIVE, 10.0, float(depth.max()) * 40)
    found = distances(plane, ViewSettings())
    np.testing.assert_allclose(found / depth, ViewSettings().far / depth.max(), rtol=1e-5)


@pytest.mark.parametrize("kind", list(DepthKind))
def test_pixels_without_a_value_are_left_out(kind: DepthKind) -> None:
    values = np.full((6, 8), 2.0, np.float32)
    values[2, 3] = np.nan
    cloud = make_cloud(filmed(depth=DepthPlane(values, kind, 1.0, 3.0)), ViewSettings())
    assert not cloud.keep[2, 3]
    assert not cloud.solid[1:3, 2:4].any()
    assert np.isfinite(cloud.grid).all()
    assert cloud.keep.sum() == 48 - 5  # the pixel, and its four neighbours, beside which depth ends


def test_no_point_and_no_triangle_hangs_in_a_jump_of_depth() -> None:
    depth = np.full((10, 12), 2.0, np.float32)
    depth[:, 6:] = 4.0
    depth[:, 5] = 3.0  # a flying pixel, as networks make them
    cloud = make_cloud(filmed(depth=DepthPlane(depth, DepthKind.METRIC, 2.0, 4.0)), ViewSettings(edge_threshold=0.001))
    points, _ = cloud.points()
    assert set(np.unique(points[:, 2])) == {2.0, 4.0}
    vertices, _, triangles = cloud.surface()
    corners = vertices[triangles][..., 2]
    np.testing.assert_array_equal(corners.min(axis=1), corners.max(axis=1))
    uncut = make_cloud(filmed(depth=DepthPlane(depth, DepthKind.METRIC, 2.0, 4.0)), WHOLE)
    assert (uncut.points()[0][:, 2] == 3.0).any()


def test_sharpening_moves_what_flies_to_the_side_it_is_closer_to_and_leaves_slopes_alone() -> None:
    inverse = np.repeat(np.array([1.0] * 300 + [0.85, 0.7, 0.35, 0.2] + [0.1] * 336, np.float32)[None], 8, axis=0)
    sharp = ViewSettings(sharpen_edges=True)
    message = filmed(depth=DepthPlane(1 / inverse, DepthKind.METRIC, 1.0, 10.0))
    depth = make_cloud(message, sharp).grid[0, :, 2]
    np.testing.assert_allclose(depth[:302], 1.0, rtol=1e-6)
    np.testing.assert_allclose(depth[302:], 10.0, rtol=1e-6)
    assert make_cloud(message, sharp).keep.sum() > make_cloud(message, ViewSettings()).keep.sum()
    slope = np.linspace(2, 3, 640, dtype=np.float32)[None].repeat(8, axis=0)
    message = filmed(depth=DepthPlane(slope, DepthKind.METRIC, 2, 3))
    np.testing.assert_array_equal(make_cloud(message, sharp).grid, make_cloud(message, ViewSettings()).grid)


def test_a_slope_is_not_cut_because_the_map_is_small() -> None:
    for width in (80, 640):
        slope = np.linspace(2, 4, width, dtype=np.float32)[None].repeat(4, axis=0)
        assert make_cloud(filmed(depth=DepthPlane(slope, DepthKind.METRIC, 2, 4)), ViewSettings()).keep.all()


def test_a_surface_faces_the_camera_and_has_no_loose_vertices() -> None:
    vertices, colors, triangles = make_cloud(filmed(), ViewSettings()).surface()
    assert len(vertices) == len(colors)
    np.testing.assert_array_equal(np.unique(triangles), np.arange(len(vertices)))
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0).all()


def test_an_uncut_surface_has_two_triangles_between_each_four_points() -> None:
    _, _, triangles = make_cloud(filmed(), WHOLE).surface()
    assert len(triangles) == 2 * (WIDTH - 1) * (HEIGHT - 1)


def test_voxels_leave_one_point_of_each_cube() -> None:
    cloud = make_cloud(filmed(), replace(WHOLE, voxel=0.25))
    cells = np.floor(cloud.points()[0] / 0.25)
    assert 10 < len(cells) < WIDTH * HEIGHT / 2
    assert len(np.unique(cells, axis=0)) == len(cells)


def test_the_users_field_of_view_wins() -> None:
    source = film()
    message = filmed(source=source)
    assert camera_of(message, WHOLE) == message.intrinsics
    points, _ = make_cloud(message, replace(WHOLE, fov_x_deg=50.0)).points()
    truth = exact_points(source.truth(0).depth, 50.0).reshape(-1, 3)
    assert np.abs(points - truth).max() < 1e-3


def test_a_picture_of_another_size_gives_each_point_the_colour_under_it() -> None:
    picture = np.zeros((HEIGHT * 4, WIDTH * 4, 3), np.uint8)
    picture[:, WIDTH * 2 :] = 255
    cloud = make_cloud(filmed(color=RawColor(picture)), WHOLE)
    assert (cloud.colors[:, : WIDTH // 2] == 0).all()
    assert (cloud.colors[:, WIDTH // 2 :] == 255).all()


def test_without_a_picture_colours_go_by_depth() -> None:
    with_picture = make_cloud(filmed(), replace(WHOLE, color="depth"))
    without = make_cloud(filmed(color=None), WHOLE)
    np.testing.assert_array_equal(with_picture.colors, without.colors)
    assert len(np.unique(without.colors.reshape(-1, 3), axis=0)) > 100


def test_equalised_colours_are_used_equally_often() -> None:
    cloud = make_cloud(filmed(), ViewSettings(color="depth", color_scheme="black_to_white"))
    counts, _ = np.histogram(cloud.colors[..., 0], bins=4, range=(0, 256))
    assert counts.max() < 1.3 * counts.min()


def test_fixed_colours_mean_the_same_distance_in_every_frame() -> None:
    settings = ViewSettings(color="depth", color_range="fixed", color_limits=(1, 5), color_scheme="black_to_white")
    near, far = (np.full((4, 6), depth, np.float32) for depth in (2.0, 4.0))
    mixed = np.where(np.arange(6) < 3, near, far)
    shades = [
        make_cloud(filmed(depth=DepthPlane(depth, DepthKind.METRIC, 1, 9)), settings).colors[0, 0, 0]
        for depth in (near, mixed)
    ]
    assert shades[0] == shades[1] == pytest.approx(255 / 4, abs=1)


def test_jet_goes_from_blue_to_red() -> None:
    depth = np.linspace(1, 5, 60, dtype=np.float32).reshape(6, 10)
    settings = ViewSettings(color="depth", color_range="fixed", color_limits=(1, 5))
    colors = make_cloud(filmed(depth=DepthPlane(depth, DepthKind.METRIC, 1, 5)), settings).colors
    assert colors[0, 0, 2] > colors[0, 0, 0]
    assert colors[-1, -1, 0] > colors[-1, -1, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"near": 0.0},
        {"near": 5.0, "far": 5.0},
        {"far": float("inf")},
        {"stride": 0},
        {"voxel": float("nan")},
        {"edge_threshold": float("inf")},
        {"edge_threshold": 0.0},
        {"fov_x_deg": 180.0},
        {"point_size": 0.0},
        {"color_limits": (3.0, 1.0)},
    ],
)
def test_settings_reject_what_cannot_be_shown(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"need|must"):
        ViewSettings(**wrong)  # type: ignore[arg-type]


def test_a_stride_larger_than_the_map_leaves_a_point() -> None:
    cloud: Cloud = make_cloud(filmed(), replace(WHOLE, stride=500))
    assert cloud.keep.sum() >= 1
