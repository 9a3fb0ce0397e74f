"""The live object: a mesh with one vertex a pixel, made once for a size, into which frames are written fast."""

from contextlib import suppress
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .camera import Pinhole, add_camera, match_camera
from .compat import has_input, set_input
from .light import geometry
from .material import COLOR_ATTRIBUTE, ensure_material
from .nodes import DEPTH_ATTRIBUTE, KINDS, ensure_display_group
from .pictures import Picture

COLLECTION_NAME = "Depth Stream"
LIVE_NAME = "Live Depth"
CAMERA_NAME = "Depth Camera"
MODIFIER_NAME = "Depth Display"
_SIZE, _CAMERA, _COLORED = "dptstream_size", "dptstream_camera", "dptstream_colored"
_GREY = (0.5, 0.5, 0.5, 1.0)


def live_object(scene: Any) -> Any | None:
    """Return the object that shows live depth in ``scene``, or None where there is none or somebody deleted it.

    Nor is it one that was made an ordinary mesh, which is its user's, or that lies in another file: Blender crashes where
    the geometry of such is changed.
    """
    shown = scene.dptstream.shown
    if shown is None or shown.name not in scene.objects or shown.type != "MESH":
        return None
    is_here = shown.library is None and shown.data.library is None
    return shown if is_here and any(item.type == "NODES" for item in shown.modifiers) else None


def live_modifier(shown: Any) -> Any | None:
    """Return the modifier that makes surface or points, or None where somebody removed it."""
    found = (item for item in shown.modifiers if item.type == "NODES" and has_input(item, "Pixel Angle"))
    return next(found, None)


def live_camera(scene: Any) -> Any | None:
    """Return the camera that matches the feed's, or None where there is none or somebody deleted it."""
    camera = scene.dptstream.camera
    return camera if camera is not None and camera.name in scene.objects and camera.type == "CAMERA" else None


def make_live_object(scene: Any) -> Any:
    """Add the live object and its camera to ``scene``, still without a pixel."""
    # In a second scene it is called Depth Stream.001.
    own = (item for item in scene.collection.children if item.name.startswith(COLLECTION_NAME) and item.library is None)
    collection = next(own, None)
    if collection is None:
        collection = bpy.data.collections.new(COLLECTION_NAME)
        scene.collection.children.link(collection)
    shown = bpy.data.objects.new(LIVE_NAME, bpy.data.meshes.new(LIVE_NAME))
    collection.objects.link(shown)
    scene.dptstream.shown = shown
    make_modifier(shown)
    make_camera(scene, shown)
    return shown


def make_modifier(shown: Any) -> None:
    """Give the live object the modifier that makes surface or points; where only its node group was deleted, that."""
    left = shown.modifiers.get(MODIFIER_NAME)
    is_ours = left is not None and left.type == "NODES" and left.node_group is None
    modifier = left if is_ours else shown.modifiers.new(MODIFIER_NAME, "NODES")
    modifier.node_group = ensure_display_group()
    set_input(modifier, "Material", ensure_material())
    _aim_anew(shown)


def make_camera(scene: Any, shown: Any) -> Any:
    """Give ``scene`` a camera that will match the feed's, and return it."""
    camera = add_camera(shown.users_collection[0], CAMERA_NAME, shown, geometry.Intrinsics.default(16, 9))
    scene.dptstream.camera = camera
    _aim_anew(shown)
    return camera


def why_paused(shown: Any) -> str:
    """Return why no frame must be written just now; empty where one may."""
    # A render reads the meshes in a thread of its own.
    if bpy.app.is_job_running("RENDER"):
        return "paused while Blender renders"
    return "paused while you edit the live object" if _is_edited(shown.data, shown) else ""


def show(scene: Any, shown: Any, picture: Picture) -> None:
    """Write one frame into the live object: what is static for a session only where it changed, then depth and colour."""
    depth, seen, mesh = picture.message.depth, picture.seen, shown.data
    if not _fits(mesh, seen):
        build_grid(mesh, seen.width, seen.height)
    _aim(scene, shown, seen)
    mesh.attributes[DEPTH_ATTRIBUTE].data.foreach_set("value", picture.depth)
    _paint(mesh, picture)
    modifier = live_modifier(shown)
    if modifier is not None:
        set_input(modifier, "Kind", KINDS.index(depth.kind.value))
        set_input(modifier, "Low", _single(depth.low))
        set_input(modifier, "High", _single(depth.high))
    # 4.2 does not notice what foreach_set wrote.
    mesh.update()


def build_grid(mesh: Any, width: int, height: int) -> None:
    """Make ``mesh`` a grid of ``width`` x ``height`` vertices, row by row from the top, with attributes for the frames."""
    mesh.clear_geometry()
    count = width * height
    corners = grid_corners(width, height)
    mesh.vertices.add(count)
    mesh.loops.add(corners.size)
    mesh.loops.foreach_set("vertex_index", corners.reshape(-1))
    mesh.polygons.add(len(corners))
    mesh.polygons.foreach_set("loop_start", np.arange(0, corners.size, 4, dtype=np.int32))
    mesh.attributes.new(DEPTH_ATTRIBUTE, "FLOAT", "POINT")
    mesh.attributes.new(COLOR_ATTRIBUTE, "FLOAT_COLOR", "POINT")
    mesh.attributes.active_color_name = COLOR_ATTRIBUTE
    mesh.update(calc_edges=True)
    mesh[_SIZE] = (width, height)
    for name in (_CAMERA, _COLORED):
        if name in mesh:
            del mesh[name]


def grid_corners(width: int, height: int) -> NDArray[np.int32]:
    """Return (faces, 4) corners of the quads between ``width`` x ``height`` vertices, facing the camera."""
    firsts = np.arange(height - 1, dtype=np.int32)[:, None] * width + np.arange(width - 1, dtype=np.int32)
    return np.add.outer(firsts.reshape(-1), np.array((0, width, width + 1, 1), np.int32))


def rays(seen: Pinhole) -> NDArray[np.float32]:
    """Return (H * W * 3) where each pixel's ray crosses the plane at distance 1, x right, y forward, z up."""
    points = np.ones((seen.height, seen.width, 3), np.float32)
    points[..., 0] = (np.arange(seen.width) + 0.5 - seen.cx) / seen.fx
    points[..., 2] = -((np.arange(seen.height)[:, None] + 0.5 - seen.cy) / seen.fy)
    return points.reshape(-1)


class Unsaved:
    """Takes live geometry out of the scene while a file is saved: megabytes of a moment that is gone when it is opened."""

    def __init__(self) -> None:
        self._put_aside: list[tuple[Any, Any, list[Any]]] = []

    def put_aside(self) -> None:
        """Give every live object an empty mesh; meshes without users are not saved."""
        scenes = [scene for scene in bpy.data.scenes if scene.library is None]
        for scene in scenes:
            # What the user deleted these would keep in the file for good.
            if live_object(scene) is None:
                scene.dptstream.shown = None
            if live_camera(scene) is None:
                scene.dptstream.camera = None
        for shown in filter(None, map(live_object, scenes)):
            mesh = shown.data
            if not mesh.vertices or why_paused(shown):
                continue
            # Else the file's mesh would get a higher number each time that it is saved and opened.
            name, mesh.name = mesh.name, f"{mesh.name} aside"
            empty = bpy.data.meshes.new(name)
            # Without as many slots, the object would forget which materials it has there.
            for material in mesh.materials:
                empty.materials.append(material)
            users = [item for item in bpy.data.objects if item.data == mesh]
            for user in users:
                user.data = empty
            self._put_aside.append((mesh, empty, users))

    def put_back(self) -> None:
        """Give them their meshes again."""
        while self._put_aside:
            mesh, empty, users = self._put_aside.pop()
            with suppress(ReferenceError):  # a file was opened in between
                for user in users:
                    user.data = mesh
                name = empty.name
                bpy.data.meshes.remove(empty)
                mesh.name = name


def _fits(mesh: Any, seen: Pinhole) -> bool:
    """Return whether the mesh is still the grid for such frames, which its user may have edited."""
    return (
        tuple(mesh.get(_SIZE, ())) == (seen.width, seen.height)
        and len(mesh.vertices) == seen.width * seen.height
        and {DEPTH_ATTRIBUTE, COLOR_ATTRIBUTE} <= set(mesh.attributes.keys())
    )


def _aim(scene: Any, shown: Any, seen: Pinhole) -> None:
    """Lay out the rays of the camera ``seen`` and match the scene's, where it is not the same as before."""
    mesh, numbers = shown.data, (seen.fx, seen.fy, seen.cx, seen.cy)
    if tuple(mesh.get(_CAMERA, ())) == numbers:
        return
    mesh.attributes["position"].data.foreach_set("vector", rays(seen))
    mesh[_CAMERA] = numbers
    modifier = live_modifier(shown)
    if modifier is not None:
        for name, value in (("Columns", seen.width), ("Rows", seen.height), ("Pixel Angle", _single(1 / seen.fx))):
            set_input(modifier, name, value)
    camera = live_camera(scene)
    if camera is not None:
        match_camera(camera, seen)


def _paint(mesh: Any, picture: Picture) -> None:
    """Write the picture's colours; grey, once, where it has none."""
    seen, colors = picture.seen, picture.colors
    is_colored = colors is not None
    if colors is None and mesh.get(_COLORED, True):
        colors = np.tile(np.array(_GREY, np.float32), seen.width * seen.height)
    if colors is not None:
        mesh.attributes[COLOR_ATTRIBUTE].data.foreach_set("color", colors)
    if mesh.get(_COLORED) != is_colored:
        mesh[_COLORED] = is_colored


def _aim_anew(shown: Any) -> None:
    """Have the next frame tell modifier and camera what they must know of the feed's camera."""
    if _CAMERA in shown.data:
        del shown.data[_CAMERA]


def _is_edited(mesh: Any, shown: Any) -> bool:
    """Return whether ``shown``, or another object with its mesh, is in edit mode, sculpted or painted."""
    if shown.mode != "OBJECT" or mesh.is_editmode:
        return True
    return mesh.users > 1 and any(item.data == mesh and item.mode != "OBJECT" for item in bpy.data.objects)


def _single(value: float) -> float:
    """Return what single precision keeps of ``value``, so that it compares equal to what Blender stored."""
    return float(np.float32(value))
