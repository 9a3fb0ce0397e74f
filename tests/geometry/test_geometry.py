import math

import numpy as np
import pytest

from dptstream.geometry import DepthKind, Intrinsics, edge_mask, unproject


def test_field_of_view_and_focal_length_are_inverse_of_one_another() -> None:
    camera = Intrinsics.from_fov_x(math.radians(90), 200, 100)
    assert camera.fx == pytest.approx(100)
    assert camera.fov_x_rad == pytest.approx(math.radians(90))
    assert Intrinsics.from_focal_mm(18, 36, 200, 100).fx == pytest.approx(100)
    assert camera.focal_mm == pytest.approx(18)


@pytest.mark.parametrize("degrees", [0, 180, -5])
def test_impossible_fields_of_view_are_refused(degrees: float) -> None:
    with pytest.raises(ValueError, match="field of view must lie between 0 and 180 degrees"):
        Intrinsics.from_fov_x(math.radians(degrees), 10, 10)


def test_negative_focal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Intrinsics.from_focal_mm(-1, 36, 10, 10)


def test_scaling_and_cropping_keep_the_rays() -> None:
    camera = Intrinsics.from_focal_px(120, 160, 90)
    half = camera.scaled_to(80, 45)
    assert (80 - camera.cx) / camera.fx == pytest.approx((40 - half.cx) / half.fx)
    window = camera.cropped(10, 20, 50, 40)
    assert (60 - camera.cx) / camera.fx == pytest.approx((50 - window.cx) / window.fx)


def test_points_project_back_to_their_pixels() -> None:
    camera = Intrinsics(100, 110, 33, 21, 64, 48)
    depth = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    points = unproject(depth, camera)
    columns = points[..., 0] / points[..., 2] * camera.fx + camera.cx
    np.testing.assert_allclose(columns, np.broadcast_to(np.arange(64) + 0.5, (48, 64)), atol=1e-3)
    np.testing.assert_array_equal(points[..., 2], depth)


def test_edges_are_marked_on_both_sides_of_a_jump_and_nowhere_else() -> None:
    depth = np.full((4, 6), 2.0, np.float32)
    depth[:, 3:] = 3.0
    edge = edge_mask(depth, tolerance=0.1)
    assert edge[:, 2:4].all()
    assert edge.sum() == 8


def test_only_relative_inverse_depth_grows_towards_the_camera() -> None:
    assert [kind for kind in DepthKind if kind.larger_is_nearer] == [DepthKind.RELATIVE_INVERSE]
    assert [kind.unit for kind in (DepthKind.METRIC, DepthKind.RELATIVE)] == ["m", None]
