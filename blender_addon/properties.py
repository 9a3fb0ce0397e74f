"""What a scene remembers of depth: where it comes from and which object shows it."""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import live
from .compat import RELATIVE_PATH, register_classes, unregister_classes

SMOOTHINGS = ("off", "minimal", "light", "default", "strong")
"""Presets of ``dptstream serve --temporal``."""


def _known_feeds(_settings: Any, _context: Any, _edited: str) -> tuple[str, ...]:
    report = live.report()
    return () if report is None else report.feeds


def _follow(settings: Any, _context: Any) -> None:
    connection = live.connection()
    if connection is not None:
        connection.receiver.follow(settings.feed)


class DPTSTREAM_PG_scene(bpy.types.PropertyGroup):
    """Settings of one scene."""

    endpoint: StringProperty(
        name="Address",
        description="Where the depth feed is served, as dptstream serve says it",
        default="tcp://127.0.0.1:5577",
    )
    feed: StringProperty(
        name="Feed",
        description="Name of the feed, where the address has several; empty for the first that comes",
        search=_known_feeds,
        search_options={"SUGGESTION"},
        update=_follow,
    )
    keys: StringProperty(
        name="Keys",
        description="Folder with this computer's keys, for a server with keys: what `dptstream keys` made for it",
        subtype="DIR_PATH",
        options=RELATIVE_PATH,
    )
    shown: PointerProperty(type=bpy.types.Object, name="Live Object", description="Shows live depth in this scene")
    camera: PointerProperty(type=bpy.types.Object, name="Camera", description="Sees what the feed's camera sees")
    control: StringProperty(
        name="Control",
        description="Where the server takes orders; empty for the port after that of the address",
    )
    model: StringProperty(name="Model", description="Name of the network, as `dptstream models list` shows it")
    size: IntProperty(
        name="Size",
        description="Size the network works at, pixels; 0 for the model's own",
        min=0,
        max=16384,
    )
    smoothing: EnumProperty(
        name="Smoothing",
        description="How depth is steadied over time",
        items=[(name, name.title(), "") for name in SMOOTHINGS],
        default="default",
    )
    server_input: EnumProperty(
        name="Input",
        description="What the server turns into depth",
        items=[
            ("FILE", "File", "A video or a recorded take"),
            ("CAMERA", "Camera", "A camera of this computer"),
            ("CLIP", "Clip", "The clip open in the Movie Clip Editor"),
        ],
    )
    server_file: StringProperty(
        name="File",
        description="A video, picture or recorded take",
        subtype="FILE_PATH",
        options=RELATIVE_PATH,
    )
    server_camera: StringProperty(
        name="Camera",
        description="Number or name of the camera",
        default="0",
    )
    server_loop: BoolProperty(name="Loop", description="Begin again at the end of the file", default=True)


_CLASSES = (DPTSTREAM_PG_scene,)


def register() -> None:
    """Give every scene its settings."""
    register_classes(_CLASSES)
    bpy.types.Scene.dptstream = PointerProperty(type=DPTSTREAM_PG_scene)


def unregister() -> None:
    """Take them back."""
    if hasattr(bpy.types.Scene, "dptstream"):
        del bpy.types.Scene.dptstream
    unregister_classes(_CLASSES)
