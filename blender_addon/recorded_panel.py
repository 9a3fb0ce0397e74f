"""The part of the tab "Depth" for depth on the disk: import, takes, baking."""

from typing import Any

import bpy

from . import take
from .compat import register_classes, unregister_classes
from .nodes import SETTINGS
from .panel import draw_alert, draw_settings
from .scene import live_object
from .sequence import sequence_modifier
from .sequence_nodes import PLAYBACK


class DPTSTREAM_PT_recorded(bpy.types.Panel):
    """Takes, imported sequences, baking."""

    bl_idname = "DPTSTREAM_PT_recorded"
    bl_label = "Recorded Depth"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Depth"

    def draw(self, context: Any) -> None:
        """Draw the buttons."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.operator("dptstream.import_sequence", icon="IMPORT")
        _draw_take(layout, context)
        column = layout.column(align=True)
        column.operator("dptstream.bake_frame", icon="MESH_GRID")
        column.operator("dptstream.export_range", icon="EXPORT")


class DPTSTREAM_PT_sequence(bpy.types.Panel):
    """Settings of the sequence that is selected."""

    bl_idname = "DPTSTREAM_PT_sequence"
    bl_label = "Selected Sequence"
    bl_parent_id = "DPTSTREAM_PT_recorded"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Depth"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether a sequence is selected."""
        return sequence_modifier(context.active_object) is not None

    def draw(self, context: Any) -> None:
        """Draw the modifier's inputs."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        shown = (setting for setting in (*SETTINGS, *PLAYBACK) if setting.kind not in ("Image", "Material"))
        draw_settings(layout, sequence_modifier(context.active_object), shown)


def _draw_take(layout: Any, context: Any) -> None:
    column = layout.column(align=True)
    column.prop(context.scene, "dptstream_take_folder")
    going = take.report()
    if going is None:
        column.operator("dptstream.record_take", icon="REC")
    else:
        column.operator("dptstream.stop_take", icon="SNAP_FACE")
        lost = f", {going.left_out} left out" if going.left_out else ""
        column.label(text=f"{going.frames} frames{lost}", icon="REC")
    if take.outcome():
        draw_alert(layout, take.outcome())
    shown = live_object(context.scene)
    if shown is not None and shown.hide_viewport:
        layout.operator("dptstream.show_live", icon="LOOP_BACK")


_CLASSES = (DPTSTREAM_PT_recorded, DPTSTREAM_PT_sequence)


def register() -> None:
    """Add the panels."""
    register_classes(_CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(_CLASSES)
