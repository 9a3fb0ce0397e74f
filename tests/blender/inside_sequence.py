"""Runs within Blender: imports sequences, bakes and exports them, and measures what stands in the scene."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from inside import part

Found = dict[str, Any]


def import_folder(path: str, **choices: Any) -> list[str]:
    """Import through the operator, as File > Import does; return its result, or why it failed."""
    try:
        return sorted(bpy.ops.dptstream.import_sequence("EXEC_DEFAULT", True, filepath=path, **choices))
    except RuntimeError as error:
        return ["refused", " ".join(str(error).split())]


def drop(folder: str, name: str) -> list[str]:
    """Drop a file into the 3D view, as a user does from a file manager."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)  # an empty file has no window with a 3D view
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        return sorted(bpy.ops.wm.drop_import_file("INVOKE_DEFAULT", directory=folder, files=[{"name": name}]))


def notes_of(path: str, colors: str | None = None) -> list[str]:
    """Import as the operator does; return what the user is told, and leave edges uncut."""
    sequence = part("manifest_reader").read_sequence(Path(path))
    found = part("source_colors").find_colors(sequence, Path(colors) if colors else None)
    imported = part("sequence").import_sequence(bpy.context, sequence, found)
    set_inputs(Edge_Cut=0.0)
    return list(imported.notes)


def scene() -> Found:
    """Return what the import changed about the scene."""
    found, render = bpy.context.scene, bpy.context.scene.render
    return {
        "range": [found.frame_start, found.frame_end],
        "rate": render.fps / render.fps_base,
        "size": [render.resolution_x, render.resolution_y],
        "camera": found.camera is not None,
        "active": getattr(bpy.context.view_layer.objects.active, "name", None),
    }


def positions(frame: int, name: str | None = None) -> list[list[float]]:
    """Return the evaluated vertices of an object, the active one if none is named, in a frame."""
    bpy.context.scene.frame_set(frame)
    return _read(evaluated(name).data, "position", "vector", 3).tolist()


def colors(frame: int, name: str | None = None) -> list[list[float]]:
    """Return the evaluated colours of each vertex (of each corner, if that is where they are) in a frame."""
    bpy.context.scene.frame_set(frame)
    return _read(evaluated(name).data, "Color", "color", 4).tolist()


def counts(name: str | None = None) -> Found:
    """Return the evaluated geometry's size in the present frame."""
    data = evaluated(name).data
    return {
        "vertices": len(data.vertices),
        "faces": len(data.polygons),
        "materials": [m and m.name for m in data.materials],
    }


def set_inputs(**inputs: Any) -> None:
    """Set inputs of the active sequence's modifier by name, ``_`` for a blank."""
    modifier = part("sequence").sequence_modifier(bpy.context.view_layer.objects.active)
    for name, value in inputs.items():
        part("compat").set_input(modifier, name.replace("_", " "), value)


def seen_pixels(frame: int) -> list[list[float]]:
    """Return where the scene's camera shows the evaluated vertices, in pixels from the top left."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    bpy.context.scene.frame_set(frame)
    shown, found, render = evaluated(None), bpy.context.scene, bpy.context.scene.render
    places = (world_to_camera_view(found, found.camera, shown.matrix_world @ Vector(v.co)) for v in shown.data.vertices)
    return [[x * render.resolution_x, (1 - y) * render.resolution_y] for x, y, _ in places]


def bake() -> Found:
    """Bake the active object; return what came of it."""
    try:
        result = sorted(bpy.ops.dptstream.bake_frame("EXEC_DEFAULT", True))
    except RuntimeError as error:
        return {"result": ["refused", " ".join(str(error).split())]}
    baked = bpy.context.view_layer.objects.active
    return {"result": result, "name": baked.name, "modifiers": len(baked.modifiers)}


def link_collection(path: str, name: str) -> None:
    """Link a collection of another file into the scene, and make it the active one."""
    with bpy.data.libraries.load(path, link=True) as (_, target):
        target.collections = [name]
    bpy.context.scene.collection.children.link(target.collections[0])
    layers = bpy.context.view_layer.layer_collection.children
    bpy.context.view_layer.active_layer_collection = layers[name]


def link_scene(path: str) -> list[str]:
    """Look at the linked scene of another file; return what importing and baking say there."""
    with bpy.data.libraries.load(path, link=True) as (source, target):
        target.scenes = source.scenes
    bpy.context.window.scene = target.scenes[0]
    refusals = []
    for button in ("import_sequence", "bake_frame", "export_range"):
        try:
            getattr(bpy.ops.dptstream, button)()
        except RuntimeError as error:
            refusals.append(str(error))
    return refusals


def activate(name: str) -> None:
    """Select an object alone."""
    part("sequence").select_only(bpy.context, bpy.data.objects[name])


def names() -> Found:
    """Return the names of objects and meshes, and how many node groups there are."""
    return {
        "objects": sorted(item.name for item in bpy.data.objects),
        "meshes": sorted(item.name for item in bpy.data.meshes),
        "groups": len(bpy.data.node_groups),
    }


def undo() -> None:
    """Undo one step."""
    bpy.ops.ed.undo()


def export(path: str, first: int, last: int) -> list[str]:
    """Write a range of the active sequence through the operator."""
    try:
        return sorted(
            bpy.ops.dptstream.export_range(
                "EXEC_DEFAULT", True, filepath=path, whole_range=False, first=first, last=last
            )
        )
    except RuntimeError as error:
        return ["refused", " ".join(str(error).split())]


def read_back(path: str) -> str:
    """Import what was exported; return the new object's name."""
    before = set(bpy.data.objects)
    if path.endswith(".abc"):
        bpy.ops.wm.alembic_import(filepath=path, as_background_job=False, set_frame_range=False)
    else:
        bpy.ops.wm.usd_import(filepath=path, set_frame_range=False)
    return next(item.name for item in bpy.data.objects if item not in before and item.type == "MESH")


def save(path: str) -> None:
    """Save the file."""
    bpy.ops.wm.save_as_mainfile(filepath=path)


def evaluated(name: str | None) -> Any:
    """Return an object as it is shown."""
    bpy.context.view_layer.update()
    shown = bpy.data.objects[name] if name else bpy.context.view_layer.objects.active
    return shown.evaluated_get(bpy.context.evaluated_depsgraph_get())


def keys_of_images() -> Found:
    """Return the images' files, how they are read, and whether paths are relative to the file."""
    return {
        item.name: [
            Path(item.filepath).name,
            item.source,
            item.colorspace_settings.name,
            item.filepath.startswith("//"),
        ]
        for item in bpy.data.images
    }


def _read(mesh: Any, name: str, key: str, width: int) -> Any:
    attribute = mesh.attributes[name]
    values = np.empty(len(attribute.data) * width, np.float32)
    attribute.data.foreach_get(key, values)
    return values.reshape(-1, width)
