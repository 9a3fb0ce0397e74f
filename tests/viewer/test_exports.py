import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dptstream.errors import SinkError
from dptstream.viewer.cloud import make_cloud
from dptstream.viewer.exports import glb_bytes, ply_bytes, png_bytes, save_bytes, save_cloud
from dptstream.viewer.settings import Axes, Mode, ViewSettings

from .filming import exact_points, film, filmed

WHOLE = ViewSettings(edge_cut=False)


def read_glb(data: bytes) -> tuple[dict, bytes]:
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    document = json.loads(data[20 : 20 + size])
    binary_size, binary_kind = struct.unpack_from("<I4s", data, 20 + size)
    assert binary_kind == b"BIN\0"
    assert 28 + size + binary_size == len(data)
    assert size % 4 == binary_size % 4 == 0
    return document, data[28 + size :]


def plane_of(document: dict, binary: bytes, accessor: int) -> np.ndarray:
    about = document["accessors"][accessor]
    view = document["bufferViews"][about["bufferView"]]
    dtype = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[about["componentType"]]
    width = {"VEC3": 3, "VEC4": 4, "SCALAR": 1}[about["type"]]
    array = np.frombuffer(binary, dtype, about["count"] * width, view["byteOffset"])
    assert array.nbytes == view["byteLength"]
    return array.reshape(-1, width)


@pytest.mark.parametrize("axes", ["opencv", "opengl", "blender", "unity"])
def test_glb_has_gltfs_axes_whatever_the_viewers_are(axes: Axes) -> None:
    source = film()
    cloud = make_cloud(filmed(source=source), ViewSettings(edge_cut=False, axes=axes))
    document, binary = read_glb(glb_bytes(cloud, "points"))
    truth = exact_points(source.truth(0).depth).reshape(-1, 3) * [1, -1, -1]
    assert np.abs(plane_of(document, binary, 0) - truth).max() < 1e-3
    assert document["meshes"][0]["primitives"][0]["mode"] == 0


def test_glb_colours_are_linear_light() -> None:
    cloud = make_cloud(filmed(), WHOLE)
    document, binary = read_glb(glb_bytes(cloud, "points"))
    linear = plane_of(document, binary, 1)[:, :3] / 65535
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(srgb * 255 - cloud.colors.reshape(-1, 3)).max() < 0.5


def test_a_glb_surface_has_the_clouds_triangles() -> None:
    cloud = make_cloud(filmed(), ViewSettings())
    document, binary = read_glb(glb_bytes(cloud, "surface", ["by a test"]))
    primitive = document["meshes"][0]["primitives"][0]
    indices = plane_of(document, binary, primitive["indices"]).reshape(-1, 3)
    np.testing.assert_array_equal(indices, cloud.surface()[2])
    assert primitive["mode"] == 4
    assert document["asset"]["extras"]["comments"] == ["by a test"]


def test_open3d_reads_the_ply_of_points_and_of_a_surface(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d")
    cloud = make_cloud(filmed(), ViewSettings())
    points, colors = cloud.points()
    save_cloud(tmp_path / "points.ply", cloud, "points", ["made by a test"])
    read = o3d.io.read_point_cloud(str(tmp_path / "points.ply"))
    np.testing.assert_allclose(np.asarray(read.points), points, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(read.colors) * 255, colors, atol=0.01)
    vertices, _, triangles = cloud.surface()
    save_cloud(tmp_path / "surface.ply", cloud, "surface")
    mesh = o3d.io.read_triangle_mesh(str(tmp_path / "surface.ply"))
    np.testing.assert_allclose(np.asarray(mesh.vertices), vertices, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(mesh.triangles), triangles)


def test_ply_says_its_unit_axes_and_origin() -> None:
    header = ply_bytes(make_cloud(filmed(), WHOLE), "points", ["two\nlines"]).split(b"end_header")[0].decode()
    assert "comment metres; axes: opencv" in header
    assert "comment two lines" in header


def test_png_holds_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    data = png_bytes(image)
    start = data.index(b"IDAT")
    size = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + size]), np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), image)
    assert data.endswith(b"IEND\xaeB`\x82")


def test_files_that_cannot_be_written_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(SinkError, match="cannot write"):
        save_bytes(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot write"):
        save_bytes(tmp_path / "file" / "points.ply", b"x")


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.ply or \.glb"):
        save_cloud(tmp_path / "points.obj", make_cloud(filmed(), WHOLE), "points")


@pytest.mark.parametrize("mode", ["points", "surface"])
def test_a_frame_without_points_is_a_glb_without_a_mesh(mode: Mode) -> None:
    cloud = make_cloud(filmed(), WHOLE)
    empty = replace(cloud, keep=np.zeros_like(cloud.keep), solid=np.zeros_like(cloud.solid))
    data = glb_bytes(empty, mode, ["why"])
    length, kind = struct.unpack_from("<II", data, 12)
    document = json.loads(data[20:])
    assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
    assert (length, kind) == (len(data) - 20, 0x4E4F534A)
    assert document["nodes"] == [{"name": "depth"}]
    assert document["asset"]["extras"] == {"comments": ["why"]}
    assert "meshes" not in document
