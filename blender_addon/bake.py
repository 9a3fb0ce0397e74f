"""Depth as plain geometry: the present frame as a mesh, a range as Alembic, USD or PC2."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from bpy_extras.io_utils import ExportHelper

from .compat import has_input, register_classes, set_input, unregister_classes
from .material import COLOR_ATTRIBUTE
from .nodes import Builder
from .pc2 import write_pc2
from .sequence import is_sequence, own_collection, select_only

_VERTICES_GROUP = "Depth Stream points to vertices"
_FORMATS = {
    ".abc": "Alembic",
    ".usd": "USD",
    ".usdc": "USD",
    ".usda": "USD",
    ".usdz": "USD",
    ".pc2": "PC2",
}


def depth_modifier(shown: Any) -> Any | None:
    """Return the modifier of an object that shows depth, live or recorded; None where it shows none."""
    if shown is None or shown.type != "MESH":
        return None
    found = (item for item in shown.modifiers if item.type == "NODES" and has_input(item, "Edge Cut"))
    return next(found, None)


def bake_frame(context: Any, shown: Any) -> Any:
    """Add a plain mesh of what ``shown`` shows in the present frame, beside it, and return the new object.

    Points become vertices without faces. Colours stay in the attribute ``Color``.

    Raises:
        ValueError: It shows nothing just now.
    """
    name = f"{shown.name} {context.scene.frame_current}"
    with plain_copy(context, shown) as copy:
        evaluated = copy.evaluated_get(context.evaluated_depsgraph_get())
        mesh = bpy.data.meshes.new_from_object(
            evaluated, preserve_all_data_layers=True, depsgraph=context.evaluated_depsgraph_get()
        )
    if not mesh.vertices:
        bpy.data.meshes.remove(mesh)
        raise ValueError(f"{shown.name} shows nothing in frame {context.scene.frame_current}")
    mesh.name = name
    _use_one_material(mesh)
    baked = bpy.data.objects.new(name, mesh)
    baked.matrix_world = shown.matrix_world
    own_collection(context, shown).objects.link(baked)
    return baked


@contextmanager
def plain_copy(context: Any, shown: Any, *, corner_colors: bool = False) -> Iterator[Any]:
    """Give for a while a copy of ``shown`` whose evaluated geometry is a mesh, also where it shows points.

    With ``corner_colors`` its colours are bytes at the corners of faces, the only ones that Blender writes to Alembic.
    """
    copy = shown.copy()
    context.scene.collection.objects.link(copy)
    copy.hide_viewport = copy.hide_render = False
    tail = copy.modifiers.new("To Vertices", "NODES")
    tail.node_group = group = _vertices_group(corner_colors=corner_colors)
    try:
        context.view_layer.update()
        yield copy
    finally:
        bpy.data.objects.remove(copy)
        bpy.data.node_groups.remove(group)


def export_range(context: Any, shown: Any, path: Path, first: int, last: int) -> str:
    """Write the scene's frames ``first`` to ``last`` of ``shown`` to ``path``; its ending decides the format.

    Returns:
        One line about what was written.

    Raises:
        ValueError: The ending is of no format known here, or the range is empty.
        RuntimeError: Blender could not write.
    """
    if last < first:
        raise ValueError(f"the range ends before it begins: {first} to {last}")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path.name} must end in {', '.join(_FORMATS)}")
    scene = context.scene
    before = scene.frame_current, scene.frame_start, scene.frame_end
    with plain_copy(context, shown, corner_colors=kind == "Alembic") as copy:
        copy.name = f"{shown.name} range"
        select_only(context, copy)
        try:
            if kind == "PC2":
                return _export_pc2(context, shown, copy, path, first, last)
            scene.frame_start, scene.frame_end = first, last
            (_export_alembic if kind == "Alembic" else _export_usd)(path, first, last)
        finally:
            scene.frame_start, scene.frame_end = before[1:]
            scene.frame_set(before[0])
            select_only(context, shown)
    return f"{kind}: frames {first} to {last} in {path.name}"


def _use_one_material(mesh: Any) -> None:
    """Take away the empty slot that evaluation leaves before a material which nodes have set."""
    used = [material for material in mesh.materials if material is not None]
    if len(used) == 1:
        mesh.materials.clear()
        mesh.materials.append(used[0])
        if "material_index" in mesh.attributes:
            mesh.attributes.remove(mesh.attributes["material_index"])


def _vertices_group(*, corner_colors: bool) -> Any:
    group = bpy.data.node_groups.new(_VERTICES_GROUP, "GeometryNodeTree")
    for in_out in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=in_out, socket_type="NodeSocketGeometry")
    build = Builder(group)
    given = build.node("NodeGroupInput").outputs[0]
    parts = build.node("GeometryNodeSeparateComponents", given).outputs
    vertices = build.node("GeometryNodePointsToVertices", parts["Point Cloud"]).outputs[0]
    joined = build.node("GeometryNodeJoinGeometry")
    for part in (parts["Mesh"], vertices):
        group.links.new(part, joined.inputs[0])
    geometry = joined.outputs[0]
    if corner_colors:
        color = build.named("FLOAT_COLOR", COLOR_ATTRIBUTE)
        stored = build.node(
            "GeometryNodeStoreNamedAttribute",
            geometry,
            None,
            COLOR_ATTRIBUTE,
            color,
            data_type="BYTE_COLOR",
            domain="CORNER",
        )
        geometry = stored.outputs[0]
    build.node("NodeGroupOutput", geometry)
    return group


def _export_alembic(path: Path, first: int, last: int) -> None:
    bpy.ops.wm.alembic_export(
        filepath=str(path),
        start=first,
        end=last,
        selected=True,
        vcolors=True,
        as_background_job=False,
        check_existing=False,
    )


def _export_usd(path: Path, _first: int, _last: int) -> None:
    bpy.ops.wm.usd_export(filepath=str(path), selected_objects_only=True, export_animation=True, check_existing=False)


def _export_pc2(context: Any, shown: Any, copy: Any, path: Path, first: int, last: int) -> str:
    modifier = depth_modifier(copy)
    # The points of a cache are the same ones in every frame: nothing is cut.
    set_input(modifier, "Edge Cut", 0.0)
    set_input(modifier, "As Points", False)
    mesh = write_pc2(context, copy, modifier, path, first, last)
    cached = bpy.data.objects.new(f"{shown.name} cache", mesh)
    cached.matrix_world = shown.matrix_world
    own_collection(context, shown).objects.link(cached)
    cache = cached.modifiers.new("Mesh Cache", "MESH_CACHE")
    cache.cache_format = "PC2"
    cache.filepath = str(path)
    cache.frame_start = first
    cache.forward_axis, cache.up_axis = "POS_Y", "POS_Z"
    return f"PC2: frames {first} to {last} in {path.name}, played by {cached.name}"


def _why_not_here(context: Any) -> str:
    """Return why nothing can be added to the scene just now; empty where it can."""
    if context.scene.library is not None:
        return "This scene is linked from another file"
    return "" if context.mode == "OBJECT" else "Go back to Object Mode first"


def _granted(operator: Any, refusal: str) -> bool:
    if refusal:
        operator.poll_message_set(refusal)
    return not refusal


class DPTSTREAM_OT_bake_frame(bpy.types.Operator):
    """Add a plain mesh of the depth shown in the present frame; it needs neither the feed nor the files"""

    bl_idname = "dptstream.bake_frame"
    bl_label = "Bake Frame to Mesh"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether there is something to bake."""
        refusal = _why_not_here(context)
        if not refusal and depth_modifier(context.active_object) is None:
            refusal = "Select an object that shows depth, live or imported"
        return _granted(cls, refusal)

    def execute(self, context: Any) -> set[str]:
        """Bake."""
        try:
            baked = bake_frame(context, context.active_object)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        select_only(context, baked)
        mesh = baked.data
        self.report({"INFO"}, f"{baked.name}: {len(mesh.vertices)} vertices, {len(mesh.polygons)} faces")
        return {"FINISHED"}


class DPTSTREAM_OT_export_range(bpy.types.Operator, ExportHelper):
    """Write a range of an imported depth sequence as Alembic, USD or PC2 point cache"""

    bl_idname = "dptstream.export_range"
    bl_label = "Bake Range to File"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ""
    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: bpy.props.StringProperty(default="*.abc;*.usd;*.usdc;*.usda;*.usdz;*.pc2", options={"HIDDEN"})
    format: bpy.props.EnumProperty(
        name="Format",
        items=(
            (".abc", "Alembic (.abc)", "Cut edges and all; points as vertices"),
            (".usdc", "USD (.usdc)", "Cut edges, colours and all; points as vertices"),
            (
                ".pc2",
                "PC2 (.pc2)",
                "Positions of the same points in each frame, played by a Mesh Cache modifier; no edge is cut",
            ),
        ),
    )
    whole_range: bpy.props.BoolProperty(
        name="Scene's Range", description="Write the frame range of the scene", default=True
    )
    first: bpy.props.IntProperty(name="First Frame", default=1)
    last: bpy.props.IntProperty(name="Last Frame", default=1)

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether there is a range to write."""
        refusal = _why_not_here(context)
        if not refusal and not is_sequence(context.active_object):
            refusal = "Select an imported sequence or a recorded take; live depth has no range: record it first"
        return _granted(cls, refusal)

    def draw(self, _context: Any) -> None:
        """Draw the options beside the file browser."""
        column = self.layout.column()
        column.prop(self, "format")
        column.prop(self, "whole_range")
        range_column = column.column(align=True)
        range_column.enabled = not self.whole_range
        range_column.prop(self, "first")
        range_column.prop(self, "last")

    def check(self, _context: Any) -> bool:
        """Give the file's name the ending of the format chosen."""
        wanted = str(Path(self.filepath).with_suffix(self.format))
        changed = bool(self.filepath != wanted)
        self.filepath = wanted
        return changed

    def execute(self, context: Any) -> set[str]:
        """Write."""
        path = Path(bpy.path.abspath(self.filepath))
        if not path.suffix:
            path = path.with_suffix(self.format)
        scene = context.scene
        first, last = (scene.frame_start, scene.frame_end) if self.whole_range else (self.first, self.last)
        try:
            line = export_range(context, context.active_object, path, first, last)
        except (ValueError, RuntimeError, OSError) as error:
            self.report({"ERROR"}, f"{path.name} was not written: {error}")
            return {"CANCELLED"}
        self.report({"INFO"}, line)
        return {"FINISHED"}


_CLASSES = (DPTSTREAM_OT_bake_frame, DPTSTREAM_OT_export_range)


def register() -> None:
    """Add the operators."""
    register_classes(_CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(_CLASSES)
