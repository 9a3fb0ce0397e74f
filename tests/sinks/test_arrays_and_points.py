from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.frames import resize_depth
from dptstream.geometry import DepthKind, Intrinsics, unproject
from dptstream.sinks import FolderOptions
from dptstream.sinks.points import FAR_UNITS, NEAR_UNITS, distances, grid_camera

from .clips import DEPTH_HW, SIZE_HW, digests, run, toy_feed, toy_frame


def read_ply(path: Path) -> tuple[list[str], NDArray[np.void]]:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    return header.decode().splitlines(), np.frombuffer(body, vertex)


def test_npy_holds_the_values_at_the_pictures_size(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npy",)), frames=[toy_frame(0)])
    values = np.load(tmp_path / "toy.1001.npy", allow_pickle=False)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, toy_frame(0).at_picture_size())


def test_npz_says_what_its_values_are_and_when_and_by_which_camera(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npz",)), toy_feed(DepthKind.METRIC), [toy_frame(0, DepthKind.METRIC)])
    with np.load(tmp_path / "toy.1001.npz", allow_pickle=False) as fields:
        np.testing.assert_array_equal(fields["depth"], toy_frame(0).at_picture_size())
        assert (str(fields["kind"]), str(fields["unit"]), bool(fields["larger_is_nearer"])) == ("metric", "m", False)
        assert (int(fields["sequence"]), int(fields["pts"]), fields["time_base"].tolist()) == (0, 0, [1, 12800])
        camera = toy_feed().intrinsics
        np.testing.assert_array_equal(fields["intrinsics"], [camera.fx, camera.fy, camera.cx, camera.cy])


def test_npz_names_relative_inverse_depth_so(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("npz",)), frames=[toy_frame(0)])
    with np.load(tmp_path / "toy.1001.npz", allow_pickle=False) as fields:
        assert "depth" not in fields
        np.testing.assert_array_equal(fields["inverse_depth"], toy_frame(0).at_picture_size())


def test_two_runs_give_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    formats = ("exr", "png16", "ffv1", "npz", "npy", "ply", "preview")
    for name in ("a", "b"):
        run(FolderOptions(tmp_path / name, formats))  # type: ignore[arg-type]
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_ply_is_binary_with_coloured_float_points_and_says_what_it_is(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("ply",)), toy_feed(DepthKind.METRIC), [toy_frame(0, DepthKind.METRIC)])
    header, vertices = read_ply(tmp_path / "toy.1001.ply")
    assert header[:2] == ["ply", "format binary_little_endian 1.0"]
    assert [line for line in header if line.startswith("property")] == [
        *(f"property float {name}" for name in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
    ]
    assert f"element vertex {len(vertices)}" in header
    comments = "\n".join(line for line in header if line.startswith("comment"))
    for phrase in ("frame 0 of toy", "metric, unit m", "x right, y down, z forward", "camera fx"):
        assert phrase in comments


def test_points_of_metric_depth_lie_where_the_camera_saw_them(tmp_path: Path) -> None:
    plane = np.full(DEPTH_HW, 3.0, np.float32)
    feed = toy_feed(DepthKind.METRIC)
    run(FolderOptions(tmp_path, ("ply",)), feed, [toy_frame(0, DepthKind.METRIC, depth=plane)])
    _, vertices = read_ply(tmp_path / "toy.1001.ply")
    assert len(vertices) == plane.size
    camera = grid_camera(feed.intrinsics, DEPTH_HW, SIZE_HW, "bilinear_corners")
    np.testing.assert_allclose(vertices["xyz"].reshape(*DEPTH_HW, 3), unproject(plane, camera), rtol=1e-6)


@pytest.mark.parametrize("output_resize", ["bilinear_corners", "bilinear"])
def test_the_cameras_of_the_depth_grid_and_of_the_picture_agree_about_rays(output_resize: str) -> None:
    camera = Intrinsics(30.0, 32.0, 12.0, 9.5, SIZE_HW[1], SIZE_HW[0])
    grid = grid_camera(camera, DEPTH_HW, SIZE_HW, output_resize)  # type: ignore[arg-type]
    rays_small = unproject(np.ones(DEPTH_HW, np.float32), grid)
    rays = unproject(np.ones(SIZE_HW, np.float32), camera)
    for axis in (0, 1):
        upsized = resize_depth(np.ascontiguousarray(rays_small[..., axis]), SIZE_HW, output_resize)  # type: ignore[arg-type]
        inside = (slice(2, -2), slice(2, -2))  # without aligned corners the border is held, not extended
        np.testing.assert_allclose(upsized[inside], rays[..., axis][inside], atol=1e-5)


def test_points_beside_an_edge_are_cut(tmp_path: Path) -> None:
    depth = np.full(DEPTH_HW, 2.0, np.float32)
    depth[:, 10:] = 6.0
    run(FolderOptions(tmp_path, ("ply",)), toy_feed(DepthKind.METRIC), [toy_frame(0, DepthKind.METRIC, depth=depth)])
    _, vertices = read_ply(tmp_path / "toy.1001.ply")
    assert len(vertices) == depth.size - 2 * DEPTH_HW[0]


def test_pixels_without_a_distance_give_no_point(tmp_path: Path) -> None:
    depth = np.full(DEPTH_HW, 2.0, np.float32)
    depth[0, :4] = [0.0, -1.0, np.nan, np.inf]
    run(FolderOptions(tmp_path, ("ply",)), toy_feed(DepthKind.METRIC), [toy_frame(0, DepthKind.METRIC, depth=depth)])
    _, vertices = read_ply(tmp_path / "toy.1001.ply")
    assert np.isfinite(vertices["xyz"]).all()
    np.testing.assert_allclose(vertices["xyz"][:, 2], 2.0)


def test_points_take_the_colours_of_the_picture(tmp_path: Path) -> None:
    frame = toy_frame(0, DepthKind.METRIC, depth=np.full(SIZE_HW, 2.0, np.float32))
    run(FolderOptions(tmp_path, ("ply",)), toy_feed(DepthKind.METRIC), [frame])
    _, vertices = read_ply(tmp_path / "toy.1001.ply")
    np.testing.assert_array_equal(vertices["rgb"].reshape(*SIZE_HW, 3), frame.video.image)


def test_relative_inverse_depth_becomes_distances_between_1_and_10_units() -> None:
    inverse = np.array([[2.0, 5.0, 8.0, np.nan]], np.float32)
    found = distances(inverse, DepthKind.RELATIVE_INVERSE, (2.0, 8.0))
    middle = 2 / (1 / NEAR_UNITS + 1 / FAR_UNITS)
    np.testing.assert_allclose(found, [[FAR_UNITS, middle, NEAR_UNITS, 0]], rtol=1e-5)


def test_a_plane_seen_as_relative_inverse_depth_stays_a_plane() -> None:
    """Inverse depth of a plane is linear in the picture, and so is its image under the mapping."""
    inverse = np.tile(np.linspace(1, 3, 21, dtype=np.float32), (14, 1))
    camera = Intrinsics.from_fov_x(1.0, 21, 14)
    points = unproject(distances(inverse, DepthKind.RELATIVE_INVERSE, (1.0, 3.0)), camera).reshape(-1, 3)
    centred = points - points.mean(0)
    assert np.linalg.svd(centred, compute_uv=False)[2] < 1e-4 * np.abs(centred).max()


def test_a_ply_of_relative_inverse_depth_tells_its_mapping(tmp_path: Path) -> None:
    run(FolderOptions(tmp_path, ("ply",)), frames=[toy_frame(0)])
    header, _ = read_ply(tmp_path / "toy.1001.ply")
    assert any("set to 4 to 1 units" in line for line in header)
