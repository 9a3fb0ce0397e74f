"""Recording live depth: every frame goes to the disk while it comes, and plays on the timeline at once."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import live
from .compat import RELATIVE_PATH, get_input, register_classes, set_input, unregister_classes
from .manifest_reader import SequenceError, read_sequence
from .nodes import SETTINGS
from .receiver import Receiver
from .scene import live_modifier, live_object
from .sequence import ImportOptions, import_sequence, sequence_modifier
from .source_colors import find_colors
from .take_writer import TakeReport, TakeWriter

WATCH_SECONDS = 0.25
"""How often it is looked whether the feed still is the one that is recorded."""
_NOT_COPIED = ("Kind", "Low", "High", "Columns", "Rows", "Pixel Angle", "Stride")


@dataclass(slots=True)
class _Take:
    """What there is while recording."""

    writer: TakeWriter
    receiver: Receiver
    scene_uid: int


@dataclass(slots=True)
class _State:
    take: _Take | None = None
    outcome: str = ""
    """How the last take ended, where it did by itself."""


_state = _State()


def why_not_record(scene: Any) -> str:
    """Return why no take can begin; empty where one can."""
    if _state.take is not None:
        return "a take is being recorded"
    connection = live.connection()
    if connection is None or connection.picture is None:
        return "connect first: there is no live depth to record"
    folder = scene.dptstream_take_folder
    if not folder or (folder.startswith("//") and not bpy.data.is_saved):
        return "save the file first, or choose a folder for takes that does not lie beside it"
    return ""


def start_take(scene: Any) -> Path:
    """Record what comes from now on; return the folder.

    Raises:
        ValueError: No take can begin; the text says why.
        OSError: The folder cannot be made.
    """
    refusal = why_not_record(scene)
    connection = live.connection()
    if refusal or connection is None or connection.picture is None:
        raise ValueError(refusal)
    name = connection.picture.message.feed
    writer = TakeWriter(_free_folder(Path(bpy.path.abspath(scene.dptstream_take_folder)), name), name)
    writer.start()
    _state.take, _state.outcome = _Take(writer, connection.receiver, scene.session_uid), ""
    connection.receiver.tap = writer.offer
    if not bpy.app.timers.is_registered(watch):
        bpy.app.timers.register(watch, first_interval=WATCH_SECONDS)
    return writer.folder


def stop_take(context: Any) -> tuple[TakeReport, Any | None]:
    """End the take and show it in place of the live object; return how it went, and the new object if there is one.

    Raises:
        SequenceError: What was written cannot be read.
    """
    scene = _scene_of_take() or context.scene
    report = close_take()
    if report is None or not report.frames:
        return report or TakeReport(Path(), 0, 0, "no take is being recorded"), None
    sequence = read_sequence(report.folder)
    options = ImportOptions(start_frame=scene.frame_start, make_camera=scene.dptstream.camera is None)
    imported = import_sequence(context, sequence, find_colors(sequence), options)
    _stand_in_for(imported.object, live_object(scene))
    scene.frame_set(scene.frame_start)
    return report, imported.object


def close_take() -> TakeReport | None:
    """End the take without showing it; what has been recorded stays on the disk. Harmless where there is none."""
    take, _state.take = _state.take, None
    if bpy.app.timers.is_registered(watch):
        bpy.app.timers.unregister(watch)
    if take is None:
        return None
    take.receiver.tap = None
    report = take.writer.close()
    if not report.frames:
        shutil.rmtree(report.folder, ignore_errors=True)
    return report


def report() -> TakeReport | None:
    """Return how the take goes, or None where none is being recorded."""
    return None if _state.take is None else _state.take.writer.report()


def outcome() -> str:
    """Return how the last take ended where nobody pressed Stop; empty otherwise."""
    return _state.outcome


def told(report: TakeReport) -> str:
    """Return one line about a take."""
    ended = f"; it ended by itself: {report.ended}" if report.ended else ""
    lost = f", {report.left_out} left out because the disk was too slow" if report.left_out else ""
    return f"{report.frames} frames in {report.folder}{lost}{ended}"


def watch() -> float | None:
    """End the take where its feed is gone or became another; return the seconds until the next look."""
    take = _state.take
    if take is None:
        return None
    connection = live.connection()
    gone = connection is None or connection.receiver is not take.receiver
    if not (gone or take.writer.report().ended):
        return WATCH_SECONDS
    try:
        ended, _ = stop_take(bpy.context)
        _state.outcome = told(ended)
        if gone and not ended.ended:
            _state.outcome += "; it ended by itself: disconnected"
        if bpy.ops.ed.undo_push.poll():
            bpy.ops.ed.undo_push(message="Record Take")
    except (SequenceError, OSError, ReferenceError) as error:
        _state.outcome = f"the take cannot be shown: {error}"
    return None


def show_live(scene: Any, *, is_live: bool) -> None:
    """Show the live object, or hide it from view and renders."""
    shown = live_object(scene)
    if shown is not None:
        shown.hide_viewport = shown.hide_render = not is_live


def _free_folder(parent: Path, name: str) -> Path:
    number = 1
    while (parent / f"{name}_{number:03d}").exists():
        number += 1
    return parent / f"{name}_{number:03d}"


def _scene_of_take() -> Any | None:
    uid = None if _state.take is None else _state.take.scene_uid
    return next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)


def _stand_in_for(shown: Any, live_one: Any | None) -> None:
    """Give the take the place and the display settings of the live object, and hide that."""
    if live_one is None:
        return
    shown.matrix_world = live_one.matrix_world
    source, target = live_modifier(live_one), sequence_modifier(shown)
    for setting in SETTINGS if source is not None else ():
        if setting.name not in _NOT_COPIED:
            value = get_input(source, setting.name)
            set_input(target, setting.name, tuple(value) if setting.kind == "Color" else value)
    live_one.hide_viewport = live_one.hide_render = True


class DPTSTREAM_OT_record_take(bpy.types.Operator):
    """Write every live frame to the disk from now on, until Stop"""

    bl_idname = "dptstream.record_take"
    bl_label = "Record Take"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether a take can begin."""
        refusal = why_not_record(context.scene)
        if refusal:
            cls.poll_message_set(refusal[0].upper() + refusal[1:])
        return not refusal

    def execute(self, context: Any) -> set[str]:
        """Begin."""
        try:
            folder = start_take(context.scene)
        except (ValueError, OSError) as error:
            self.report({"ERROR"}, f"nothing is recorded: {error}")
            return {"CANCELLED"}
        self.report({"INFO"}, f"recording into {folder}")
        return {"FINISHED"}


class DPTSTREAM_OT_stop_take(bpy.types.Operator):
    """End the take and show it on the timeline in place of the live object"""

    bl_idname = "dptstream.stop_take"
    bl_label = "Stop"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        """Return whether a take is being recorded."""
        if report() is None:
            cls.poll_message_set("No take is being recorded")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        """End."""
        try:
            ended, shown = stop_take(context)
        except (SequenceError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if shown is None:
            self.report({"WARNING"}, ended.ended or "no frame came while recording: nothing was kept")
            return {"CANCELLED"}
        self.report({"WARNING" if ended.left_out or ended.ended else "INFO"}, told(ended))
        return {"FINISHED"}


class DPTSTREAM_OT_show_live(bpy.types.Operator):
    """Show live depth again, and hide the take that stands in its place"""

    bl_idname = "dptstream.show_live"
    bl_label = "Back to Live"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Return whether live depth is hidden."""
        shown = live_object(context.scene)
        if shown is None or not shown.hide_viewport:
            cls.poll_message_set("Live depth is in view, or there is none")
            return False
        return True

    def execute(self, context: Any) -> set[str]:
        """Swap them."""
        take = context.active_object
        if sequence_modifier(take) is not None:
            take.hide_viewport = take.hide_render = True
        show_live(context.scene, is_live=True)
        return {"FINISHED"}


@persistent
def _before_load(*_: object) -> None:
    close_take()


_CLASSES = (DPTSTREAM_OT_record_take, DPTSTREAM_OT_stop_take, DPTSTREAM_OT_show_live)


def register() -> None:
    """Add the operators and the scene's folder for takes."""
    register_classes(_CLASSES)
    bpy.types.Scene.dptstream_take_folder = bpy.props.StringProperty(
        name="Takes",
        description="Folder that gets a folder for each take; // is where the file lies",
        subtype="DIR_PATH",
        options=RELATIVE_PATH,
        default="//takes",
    )
    if _before_load not in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    """End a take, and take everything back."""
    close_take()
    if _before_load in bpy.app.handlers.load_pre:
        bpy.app.handlers.load_pre.remove(_before_load)
    if hasattr(bpy.types.Scene, "dptstream_take_folder"):
        del bpy.types.Scene.dptstream_take_folder
    unregister_classes(_CLASSES)
