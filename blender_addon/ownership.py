"""Keeps two copies of this extension, such as a zip and a checkout, from taking each other's names."""

import bpy


def register() -> None:
    """Claim Blender for this copy; raises RuntimeError where another one has it."""
    owner = getattr(bpy.types.WindowManager, "dptstream_owner", __package__)
    if owner != __package__:
        raise RuntimeError(f"another copy of Depth Stream is enabled, {owner}: disable it first")
    bpy.types.WindowManager.dptstream_owner = __package__


def unregister() -> None:
    """Give Blender back, where this copy has it."""
    if getattr(bpy.types.WindowManager, "dptstream_owner", None) == __package__:
        del bpy.types.WindowManager.dptstream_owner
