import json
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dptstream.geometry import DepthKind
from dptstream.viewer.cloud import make_cloud
from dptstream.viewer.scene import Scene
from dptstream.viewer.settings import Decimation, Filters, HoleFilling, Spatial, Temporal, Threshold, ViewSettings
from dptstream.wire import DepthPlane

from ..filming import street
from .browsing import Window
from .feeding import HOLED, RAMP, ScriptedFeed, distances, scene, serving, still


@pytest.mark.parametrize(
    ("depth", "settings"),
    [
        (distances(), ViewSettings()),
        (distances(), ViewSettings(edge_cut=False, fov_x_deg=90, axes="blender")),
        (distances(), ViewSettings(mode="surface")),
        (distances(), ViewSettings(mode="surface", axes="unity", stride=3)),
        (street(box=True)[0], ViewSettings()),
        (street(box=True)[0], ViewSettings(mode="surface", edge_threshold=0.01, stride=2)),
        (HOLED, ViewSettings(stride=2)),
        (HOLED, ViewSettings(filters=Filters(threshold=Threshold(enabled=True, minimum=1.5, maximum=2.5)))),
        (HOLED, ViewSettings(filters=Filters(decimation=Decimation(enabled=True)))),
        (HOLED, ViewSettings(filters=Filters(decimation=Decimation(enabled=True, magnitude=5)))),
        (HOLED, ViewSettings(filters=Filters(spatial=Spatial(enabled=True)))),
        (HOLED, ViewSettings(filters=Filters(hole_filling=HoleFilling(enabled=True)))),
        (HOLED, ViewSettings(filters=Filters(hole_filling=HoleFilling(enabled=True, fill="nearest")))),
        (HOLED, ViewSettings(filters=Filters(hole_filling=HoleFilling(enabled=True, fill="left")))),
    ],
)
def test_both_viewers_show_the_same_points(window: Window, depth: NDArray[np.float32], settings: ViewSettings) -> None:
    plane = DepthPlane(np.where(depth > 0, depth, np.nan).astype(np.float32), DepthKind.METRIC, 1.0, 4.0)
    message = scene(depth=plane)
    with serving(still(message), settings=settings) as server:
        window.open(server.url)
        name, data = window.download(lambda: window.tab.keyboard.press("y"))
    vertices, faces, comments = read_ply(data)
    cloud = Scene().cloud(message, settings)
    if settings.mode == "points":
        (points, colors), triangles = cloud.points(), np.empty((0, 3), np.int32)
    else:
        points, colors, triangles = cloud.surface()
    assert name == "cam1.000000.ply"
    assert f"axes {settings.axes}" in comments
    assert len(vertices) == len(points) > 50
    np.testing.assert_allclose(vertices["xyz"], points, rtol=2e-5, atol=2e-5)
    assert np.abs(vertices["rgb"].astype(int) - colors).max() <= 1
    np.testing.assert_array_equal(np.sort(faces, axis=1), np.sort(triangles, axis=1))
    if len(triangles):
        np.testing.assert_allclose(normal(points, triangles), normal(vertices["xyz"], faces), atol=1e-4)


def test_both_viewers_steady_depth_alike(window: Window) -> None:
    rng = np.random.default_rng(0)
    settings = ViewSettings(filters=Filters(temporal=Temporal(enabled=True, delta=30)))
    feed, desktop = ScriptedFeed(), Scene()
    with serving(feed, settings=settings) as server:
        window.tab.goto(server.url)
        for number in range(4):
            noisy = RAMP + rng.normal(0, 0.02, RAMP.shape)
            holed = np.where(rng.random(RAMP.shape) < 0.2, np.nan, noisy).astype(np.float32)
            message = scene(number, depth=DepthPlane(holed, DepthKind.METRIC, 1.0, 4.0))
            feed.put(message)
            cloud = desktop.cloud(message, settings)
            window.until(lambda number=number: window.frames == number + 1)  # type: ignore[misc]
        _, data = window.download(lambda: window.tab.keyboard.press("y"))
    np.testing.assert_allclose(read_ply(data)[0]["xyz"], cloud.points()[0], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", [DepthKind.RELATIVE_INVERSE, DepthKind.RELATIVE])
def test_both_viewers_lay_relative_depth_alike(window: Window, kind: DepthKind) -> None:
    values = 1 / RAMP if kind is DepthKind.RELATIVE_INVERSE else RAMP
    message = scene(depth=DepthPlane(values.astype(np.float16), kind, 0.35, 0.9))
    settings = ViewSettings(cut_far=True)
    with serving(still(message), settings=settings) as server:
        window.open(server.url)
        _, data = window.download(lambda: window.tab.keyboard.press("y"))
    points, _ = make_cloud(message, settings).points()
    np.testing.assert_allclose(read_ply(data)[0]["xyz"], points, rtol=1e-4)


def test_a_surface_is_saved_as_glb(window: Window) -> None:
    with serving(still(), settings=ViewSettings(mode="surface")) as server:
        window.open(server.url)
        name, data = window.download(lambda: window.tab.keyboard.press("Y"))
    assert name == "cam1.000000.glb"
    assert struct.unpack_from("<4sII", data) == (b"glTF", 2, len(data))
    gltf = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    points, _, triangles = make_cloud(scene(), ViewSettings(mode="surface")).surface()
    primitive = gltf["meshes"][0]["primitives"][0]
    assert gltf["accessors"][primitive["attributes"]["POSITION"]]["count"] == len(points)
    assert gltf["accessors"][primitive["indices"]]["count"] == triangles.size
    assert "KHR_materials_unlit" in gltf["extensionsUsed"]


def test_a_picture_and_a_video_are_saved(window: Window) -> None:
    with serving(ScriptedFeed(every=0.05)) as server:
        window.open(server.url)
        name, data = window.download(lambda: window.tab.keyboard.press("s"))
        assert name.endswith(".png")
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        window.tab.keyboard.press("x")
        window.await_frames(4)
        name, data = window.download(lambda: window.tab.keyboard.press("x"))
    assert name.endswith((".webm", ".mp4"))
    assert len(data) > 2000


def read_ply(data: bytes) -> tuple[NDArray[Any], NDArray[np.int32], str]:
    """Return the vertices, the faces and the comments of a binary PLY."""
    head, _, body = data.partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    counts = {words[1]: int(words[2]) for line in lines if (words := line.split())[0] == "element"}
    vertex = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    vertices = np.frombuffer(body, vertex, counts["vertex"])
    face = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
    faces = np.frombuffer(body, face, counts.get("face", 0), offset=vertices.nbytes)
    return vertices, faces["corners"], " ".join(line for line in lines if line.startswith("comment"))


def normal(points: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the sum of all triangles' normals: their direction tells which side is the front."""
    a, b, c = (points[triangles[:, corner]].astype(np.float64) for corner in range(3))
    return np.asarray(np.cross(b - a, c - a).sum(axis=0) / 100)
