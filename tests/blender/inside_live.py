"""Runs within Blender: drives the live part as its timer would, and measures what stands in the scene."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np
from inside import part, threads

Found = dict[str, Any]


def connect(endpoint: str, **settings: Any) -> list[str]:
    """Press Connect with these settings of the scene; return the operator's result, or its refusal."""
    for name, value in {"endpoint": endpoint, **settings}.items():
        setattr(bpy.context.scene.dptstream, name, value)
    return press("connect")


def why_not_connect(endpoint: str) -> str:
    """Return why Connect is greyed for an address; empty where it is not."""
    bpy.context.scene.dptstream.endpoint = endpoint
    return str(part("operators").why_not_connect(bpy.context.scene))


def press(button: str, **choices: Any) -> list[str]:
    """Press a button; return the operator's result, or why it is greyed or failed."""
    try:
        return sorted(getattr(bpy.ops.dptstream, button)("EXEC_DEFAULT", True, **choices))
    except RuntimeError as error:
        return ["refused", " ".join(str(error).split())]


def pump(frames: int = 1, seconds: float = 120.0) -> int:
    """Call the timer's function until so many frames were shown or the time is up; return how many were."""
    live = part("live")
    before = _shown()
    deadline = time.monotonic() + seconds
    while _shown() - before < frames and time.monotonic() < deadline and live.connection() is not None:
        live.tick()
        time.sleep(0.002)
    return _shown() - before


def pump_until_problem(text: str, seconds: float = 120.0) -> str:
    """Call the timer's function until an alert holds ``text``; return the last alert."""
    deadline = time.monotonic() + seconds
    found = problem()
    while text not in found and time.monotonic() < deadline:
        part("live").tick()
        time.sleep(0.01)
        found = problem()
    return found


def problem() -> str:
    """Return what the panel shows as alert."""
    report = part("live").report()
    return part("live").problem() or ("" if report is None else report.problem)


def is_connected() -> bool:
    """Return whether there is a connection."""
    return part("live").connection() is not None


def session() -> str:
    """Return the session of the frame that is shown."""
    return str(_picture().message.session)


def set_inputs(**inputs: Any) -> None:
    """Set inputs of the display by name, ``_`` for a blank."""
    modifier = part("scene").live_modifier(_object())
    for name, value in inputs.items():
        part("compat").set_input(modifier, name.replace("_", " "), value)


def surface_error() -> Found:
    """Compare the evaluated surface with the depth of the message it was made of; distances in Blender's axes."""
    mesh = _evaluated().data
    positions = _read(mesh, "position", "vector", 3)
    expected = _expected().reshape(-1, 3)
    kept = expected[np.isfinite(expected).all(1)]
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.polygons),
        "expected": len(kept),
        "error": float(np.abs(positions - kept).max()) if len(kept) == len(positions) else None,
        "nearest": float(positions[:, 1].min()),
        "farthest": float(positions[:, 1].max()),
    }


def color_error() -> float:
    """Compare the evaluated colours with the message's picture, taken to linear light by sRGB's own formula."""
    encoded = _picture().message.color.pixels.reshape(-1, 3).astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    colors = _read(_evaluated().data, "Color", "color", 4)
    return float(np.abs(colors[:, :3] - linear).max())


def colors() -> list[list[float]]:
    """Return the evaluated colours."""
    return [[float(v) for v in color[:3]] for color in _read(_evaluated().data, "Color", "color", 4)]


def delete_a_vertex() -> None:
    """Delete a vertex of the live mesh, as in edit mode."""
    mesh = _object().data
    whole = bmesh.new()
    whole.from_mesh(mesh)
    whole.verts.remove(next(iter(whole.verts)))
    whole.to_mesh(mesh)
    whole.free()


def plain_color() -> list[float]:
    """Return the colour of the first vertex."""
    return [round(float(value), 4) for value in _read(_evaluated().data, "Color", "color", 4)[0]]


def points() -> Found:
    """Return what is known of the evaluated points: their number, their radii at the ends and their reach."""
    for item in bpy.context.evaluated_depsgraph_get().object_instances:
        if item.object.type == "POINTCLOUD":
            data = item.object.data
            radii, positions = _read(data, "radius", "value", 1), _read(data, "position", "vector", 3)
            return {
                "count": len(data.points),
                "radii_of_distance": [float(v) for v in _ends(radii[:, 0] / positions[:, 1])],
            }
    return {"count": 0}


def pixel_of(u: float, v: float, distance: float) -> list[float]:
    """Return where the scene's depth camera shows the point that the feed's camera saw at pixel (u, v)."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    scene, seen = bpy.context.scene, _picture().message.intrinsics
    point = Vector(((u - seen.cx) / seen.fx * distance, distance, -(v - seen.cy) / seen.fy * distance))
    bpy.context.view_layer.update()
    x, y, _ = world_to_camera_view(scene, scene.camera, _object().matrix_world @ point)
    return [x * scene.render.resolution_x, (1 - y) * scene.render.resolution_y]


def count_data() -> Found:
    """Return how many data-blocks there are."""
    return {name: len(getattr(bpy.data, name)) for name in ("meshes", "objects", "node_groups", "materials", "images")}


def open_things() -> Found:
    """Return the extension's threads, and how many sockets the process holds where the system tells."""
    folder = Path("/proc/self/fd")
    names = (
        [os.readlink(path) for path in folder.iterdir() if path.is_symlink() and path.exists()]
        if folder.is_dir()
        else []
    )
    return {"threads": threads(), "sockets": sum(name.startswith("socket:") for name in names)}


def add_empty() -> None:
    """Add an empty, as a step that can be undone."""
    bpy.ops.object.empty_add("EXEC_DEFAULT", True)


def undo() -> list[str]:
    """Undo one step; return the objects' names."""
    bpy.ops.ed.undo()
    return sorted(item.name for item in bpy.data.objects)


def save(path: str) -> int:
    """Save the file; return its size."""
    bpy.ops.wm.save_as_mainfile(filepath=path, compress=False)
    return Path(path).stat().st_size


def load(path: str) -> Found:
    """Open a file; return whether a live object is there and how many vertices it has."""
    bpy.ops.wm.open_mainfile(filepath=path)
    shown = _object()
    return {"found": shown is not None, "vertices": len(shown.data.vertices), "meshes": len(bpy.data.meshes)}


def add_materials() -> None:
    """Give the live object a material in its data's slot, and one in its own."""
    shown = _object()
    for name in ("of the data", "of the object"):
        shown.data.materials.append(bpy.data.materials.new(name))
    shown.material_slots[1].link = "OBJECT"
    shown.material_slots[1].material = bpy.data.materials["of the object"]


def materials() -> list[str]:
    """Return the names of the materials in the live object's slots."""
    return [slot.material.name if slot.material else "" for slot in _object().material_slots]


def vertices() -> int:
    """Return how many vertices the live object's own mesh has."""
    return len(_object().data.vertices)


def other_scene() -> None:
    """Make another scene and look at it."""
    bpy.context.window.scene = bpy.data.scenes.new("Other")


def scene_of_live_object() -> str:
    """Return the name of the scene that holds the live object."""
    return next(scene.name for scene in bpy.data.scenes if part("scene").live_object(scene))


def delete_live_object() -> None:
    """Delete the live object as a user does."""
    bpy.ops.object.select_all(action="DESELECT")
    _object().select_set(True)
    bpy.ops.object.delete()


def delete_node_group() -> None:
    """Delete the node group that makes the surface."""
    bpy.data.node_groups.remove(part("scene").live_modifier(_object()).node_group)


def delete_camera() -> None:
    """Delete the camera as a user does."""
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.scene.dptstream.camera.select_set(True)
    bpy.ops.object.delete()


def users_of_deleted_cameras() -> int:
    """Return how many users keep cameras that are in no scene."""
    return sum(item.users for item in bpy.data.objects if item.type == "CAMERA" and not item.users_scene)


def convert() -> int:
    """Make the live object an ordinary mesh, as Object > Convert does; return its vertices."""
    shown = _object()
    bpy.context.view_layer.objects.active = shown
    shown.select_set(True)
    bpy.ops.object.convert(target="MESH")
    return len(shown.data.vertices)


def mesh_name() -> str:
    """Return the name of the live object's mesh."""
    return str(_object().data.name)


def vertices_of(name: str) -> int:
    """Return how many vertices an object has."""
    return len(bpy.data.objects[name].data.vertices)


def link_scene(path: str) -> None:
    """Link the scene of another file, and look at it."""
    with bpy.data.libraries.load(path, link=True) as (source, target):
        target.scenes = source.scenes
    bpy.context.window.scene = next(scene for scene in bpy.data.scenes if scene.library)


def copy_scene_with_its_linked_object(path: str) -> None:
    """Copy the linked scene of another file, whose collections and objects stay linked; look at the copy."""
    with bpy.data.libraries.load(path, link=True) as (source, target):
        target.scenes = source.scenes
    bpy.context.window.scene = next(scene for scene in bpy.data.scenes if scene.library).copy()


def enter_mode(mode: str, *, through_duplicate: bool = False) -> None:
    """Enter a mode on the live object, or on a linked duplicate of it."""
    shown = _object()
    if through_duplicate:
        shown = shown.copy()
        bpy.context.scene.collection.objects.link(shown)
    bpy.context.view_layer.objects.active = shown
    bpy.ops.object.mode_set(mode=mode)


def leave_mode() -> None:
    """Go back to object mode."""
    bpy.ops.object.mode_set(mode="OBJECT")


def edit_a_cube() -> None:
    """Add a cube and edit it."""
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")


def edited_object() -> str:
    """Return the name of the object being edited."""
    return str(bpy.context.active_object.name) if bpy.context.mode == "EDIT_MESH" else ""


def leave_out_collection() -> None:
    """Make the collection of live depth, and take its tick away in the outliner."""
    collection = bpy.data.collections.new("Depth Stream")
    bpy.context.scene.collection.children.link(collection)
    bpy.context.view_layer.layer_collection.children[collection.name].exclude = True


def shading_in_view(engine: str, button: str) -> list[str]:
    """Press a button in the 3D view while ``engine`` renders; return the view's shading and what gives colours there."""
    bpy.context.scene.render.engine = engine
    area = next(area for area in bpy.context.window.screen.areas if area.type == "VIEW_3D")
    with bpy.context.temp_override(area=area):
        press(button)
    return [area.spaces.active.shading.type, area.spaces.active.shading.color_type]


def follow(feed: str) -> None:
    """Choose a feed in the panel."""
    bpy.context.scene.dptstream.feed = feed


def reported() -> Found:
    """Return what the receiver reports."""
    report = part("live").report()
    return {"feeds": list(report.feeds), "following": report.following, "lines": part("panel").state_lines(report)}


def register_again(times: int) -> None:
    """Take the extension back and register it, so often and each twice over."""
    extension = sys.modules[part("live").__package__]
    for _ in range(times):
        extension.unregister()
        extension.unregister()
        assert not hasattr(bpy.types.Scene, "dptstream")
        assert not hasattr(bpy.types, "DPTSTREAM_PT_live")
        extension.register()
        extension.register()
    assert bpy.context.scene.dptstream.endpoint


def registers_after_a_failure() -> list[str]:
    """Have one module fail to register, then register; return what was left after the failure."""
    extension, panel = sys.modules[part("live").__package__], part("panel")
    extension.unregister()
    whole, panel.register = panel.register, _fail
    try:
        extension.register()
    except RuntimeError:
        left = [name for name in dir(bpy.types) if name.startswith("DPTSTREAM")]
    finally:
        panel.register = whole
    left += ["Scene.dptstream"] if hasattr(bpy.types.Scene, "dptstream") else []
    extension.register()
    return left


def refuses_a_second_copy() -> str:
    """Pretend that another copy is enabled; return what registering says."""
    extension = sys.modules[part("live").__package__]
    extension.unregister()
    bpy.types.WindowManager.dptstream_owner = "bl_ext.dev.dptstream"
    try:
        extension.register()
    except RuntimeError as error:
        return str(error)
    finally:
        del bpy.types.WindowManager.dptstream_owner
        extension.register()
    return ""


def heavy_modules() -> list[str]:
    """Return what must never be loaded into Blender."""
    return sorted({"torch", "av", "cv2", "open3d"} & set(sys.modules))


def origin_of(module: str) -> str:
    """Return the file that a module was loaded from."""
    return str(sys.modules[module].__file__)


def _fail() -> None:
    raise RuntimeError("no")


def _shown() -> int:
    connection = part("live").connection()
    return 0 if connection is None else connection.figures.count


def _picture() -> Any:
    return part("live").connection().picture


def _object() -> Any:
    return next((scene.dptstream.shown for scene in bpy.data.scenes if part("scene").live_object(scene)), None)


def _evaluated() -> Any:
    bpy.context.view_layer.update()
    return _object().evaluated_get(bpy.context.evaluated_depsgraph_get())


def _expected() -> Any:
    """Return (H, W, 3) points in Blender's axes for depth as it is, or laid out between 1 and 10 where relative."""
    depth = _picture().message.depth
    values = depth.values().astype(np.float64)
    if depth.kind.value == "relative_inverse":
        nearness = np.maximum((values - depth.low) / (depth.high - depth.low), 0)
        nearness = np.where(nearness > 1, 2 - 1 / np.maximum(nearness, 1), nearness)
        values = 1 / (nearness / 1.0 + (1 - nearness) / 4.0)
    if depth.kind.value == "relative":
        values = values * 4.0 / depth.high
    x, y, z = np.moveaxis(part("light").geometry.unproject(values, _picture().message.intrinsics), -1, 0)
    return np.stack((x, z, -y), -1)


def _read(data: Any, name: str, key: str, width: int) -> Any:
    layer = data.attributes[name].data
    values = np.empty(len(layer) * width, np.float32)
    layer.foreach_get(key, values)
    return values.reshape(-1, width)


def _ends(values: Any) -> tuple[float, float]:
    return values.min(), values.max()
