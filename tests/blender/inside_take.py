"""Runs within Blender: records takes as the panel's buttons do."""

from typing import Any

import bpy
from inside import part


def record(folder: str) -> list[str]:
    """Press Record; return the operator's result, or its refusal."""
    bpy.context.scene.dptstream_take_folder = folder
    try:
        return sorted(bpy.ops.dptstream.record_take("EXEC_DEFAULT", True))
    except RuntimeError as error:
        return ["refused", " ".join(str(error).split())]


def frames() -> int:
    """Return how many frames are on the disk."""
    report = part("take").report()
    return 0 if report is None else report.frames


def stop() -> list[str]:
    """Press Stop; return the operator's result, or its refusal."""
    try:
        return sorted(bpy.ops.dptstream.stop_take("EXEC_DEFAULT", True))
    except RuntimeError as error:
        return ["refused", " ".join(str(error).split())]


def watch() -> dict[str, Any]:
    """Call the timer's function once; return whether it goes on, and what the panel says of a take that ended."""
    goes_on = part("take").watch() is not None
    return {"goes_on": goes_on, "outcome": part("take").outcome()}


def in_view() -> dict[str, bool]:
    """Return which objects with depth are in view."""
    return {
        item.name: not item.hide_viewport for item in bpy.data.objects if part("bake").depth_modifier(item) is not None
    }


def back_to_live() -> None:
    """Press Back to Live."""
    bpy.ops.dptstream.show_live("EXEC_DEFAULT", True)


def display(name: str, setting: str) -> Any:
    """Return an input of the modifier of an object with depth."""
    return part("compat").get_input(part("bake").depth_modifier(bpy.data.objects[name]), setting)
