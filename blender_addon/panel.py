"""The tab "Depth" of the 3D view's side panel."""

from collections.abc import Iterable
from typing import Any

import bpy

from . import live, operators, preferences, steering
from .compat import draw_input, get_input, register_classes, unregister_classes
from .nodes import KINDS, SETTINGS, Setting
from .receiver import Report
from .scene import live_modifier, live_object

LOG_LINES_SHOWN = 6
_KIND_WORDS = {"metric": "metres", "relative": "relative depth", "relative_inverse": "relative inverse depth"}
_RELATIVE_ONLY = ("Near", "Far")
_ONLY_WITH = {"Point Size": ("As Points", True), "Plain Color": ("Video Colors", False)}
"""Settings without effect unless another has this value."""
_NARROW = 280
"""Width of a side panel as Blender opens it, pixels."""


class _DepthPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Depth"


class DPTSTREAM_PT_live(_DepthPanel, bpy.types.Panel):
    """Connection and how it goes."""

    bl_idname = "DPTSTREAM_PT_live"
    bl_label = "Live Depth"

    def draw(self, context: Any) -> None:
        draw_connection(self.layout, context)


class DPTSTREAM_PT_display(_DepthPanel, bpy.types.Panel):
    """How depth is shown."""

    bl_idname = "DPTSTREAM_PT_display"
    bl_label = "Display"
    bl_parent_id = "DPTSTREAM_PT_live"

    @classmethod
    def poll(cls, context: Any) -> bool:
        return live_object(context.scene) is not None

    def draw(self, context: Any) -> None:
        draw_display(self.layout, context)


class DPTSTREAM_PT_steering(_DepthPanel, bpy.types.Panel):
    """What the server does."""

    bl_idname = "DPTSTREAM_PT_steering"
    bl_label = "Model"
    bl_parent_id = "DPTSTREAM_PT_live"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        draw_steering(self.layout, context)


class DPTSTREAM_PT_server(_DepthPanel, bpy.types.Panel):
    """A server on this computer."""

    bl_idname = "DPTSTREAM_PT_server"
    bl_label = "Server"
    bl_parent_id = "DPTSTREAM_PT_live"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: Any) -> None:
        draw_server(self.layout, context)


def draw_connection(layout: Any, context: Any) -> None:
    """Draw address, feed, keys, the button and the state line."""
    settings, report = context.scene.dptstream, live.report()
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column()
    column.enabled = report is None
    column.prop(settings, "endpoint")
    column.prop(settings, "keys", placeholder="none")
    layout.prop(settings, "feed", placeholder="the first that comes")
    if report is None:
        layout.operator("dptstream.connect", icon="PLAY")
    else:
        layout.operator("dptstream.disconnect", icon="PAUSE")
        column = layout.column(align=True)
        for line in state_lines(report):
            draw_lines(column, line)
    for text in filter(None, (live.problem(), "" if report is None else report.problem)):
        draw_alert(layout, text)
    if live_object(context.scene) is not None:
        layout.operator("dptstream.look_through", icon="CAMERA_DATA")
        if context.scene.view_settings.view_transform not in operators.TRUE_TRANSFORMS:
            layout.operator("dptstream.true_colors", icon="COLOR")


def state_lines(report: Report) -> list[str]:
    """Return how it goes in short lines: rate, latency, losses; size and kind; model; what the sender notes."""
    connection = live.connection()
    picture = None if connection is None else connection.picture
    if connection is None or picture is None:
        return [f"Waiting for {report.following or 'a feed'}…"]
    state = report.status.state if report.status is not None else "playing"
    word = state.title() if state != "playing" else "Live" if report.alive else "Silent"
    latency = "" if connection.figures.latency_ms is None else f" · {connection.figures.latency_ms:.0f} ms"
    dropped = report.stats.lost + report.stats.skipped
    message = picture.message
    depth = message.depth
    return [
        f"{word} · {connection.figures.rate():.3g} fps{latency} · {dropped} dropped",
        f"{depth.width}x{depth.height} · {_KIND_WORDS[depth.kind.value]}",
        message.model,
        *([report.status.note] if report.status is not None and report.status.note else []),
    ]


def draw_alert(layout: Any, text: str) -> None:
    """Draw what is wrong and what to do."""
    column = layout.box().column(align=True)
    column.alert = True
    begins_with_address = "://" in text.split(" ", 1)[0]
    draw_lines(column, text if begins_with_address else f"{text[:1].upper()}{text[1:]}", icon="ERROR")


def draw_lines(column: Any, text: str, icon: str = "NONE") -> None:
    """Draw a text in as many lines as it takes in this panel; with an icon, beside the first."""
    column.scale_y = 0.8
    for number, line in enumerate(wrapped(text, _line_width(with_icon=icon != "NONE"))):
        column.label(text=line, icon=icon if number == 0 or icon == "NONE" else "BLANK1")


def wrapped(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` characters, except where a word is longer."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _line_width(*, with_icon: bool) -> int:
    """Return about how many characters a line of the panel being drawn holds."""
    region = bpy.context.region
    pixels = _NARROW if region is None else region.width / bpy.context.preferences.system.ui_scale
    # Less margins, tabs, the box and its icon; by the width of Blender's letters, or digits, which are narrower.
    return max(20, round((pixels - 88) / 6.4 if with_icon else (pixels - 48) / 5.6))


def draw_display(layout: Any, context: Any) -> None:
    """Draw the inputs of the modifier that are the user's."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    shown = live_object(context.scene)
    modifier = None if shown is None else live_modifier(shown)
    if modifier is None:
        draw_alert(layout, "the modifier was removed: disconnect and connect to have it back")
        return
    draw_settings(layout, modifier, SETTINGS)


def draw_settings(layout: Any, modifier: Any, settings: Iterable[Setting]) -> None:
    """Draw those inputs that are the user's and have an effect; greyed, where they would with another beside them."""
    is_metric = get_input(modifier, "Kind") == KINDS.index("metric")
    for setting in settings:
        if setting.of_user and not (is_metric and setting.name in _RELATIVE_ONLY):
            row = layout.row()
            other, needed = _ONLY_WITH.get(setting.name, ("", None))
            row.active = not other or get_input(modifier, other) == needed
            draw_input(row, modifier, setting.name)


def draw_steering(layout: Any, context: Any) -> None:
    """Draw what can be asked of the connected server."""
    settings = context.scene.dptstream
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(settings, "model", placeholder="as it is")
    layout.prop(settings, "size")
    layout.prop(settings, "smoothing")
    layout.prop(settings, "control", placeholder="the next port")
    layout.operator("dptstream.steer", icon="CHECKMARK", text="Applying…" if steering.busy() else "Apply")
    if steering.problem():
        draw_alert(layout, steering.problem())


def draw_server(layout: Any, context: Any) -> None:
    """Draw what a server of one's own takes, and its log."""
    settings = context.scene.dptstream
    layout.use_property_split = True
    layout.use_property_decorate = False
    if not preferences.python():
        preferences.draw_python(layout)
    layout.prop(settings, "server_input")
    if settings.server_input == "FILE":
        layout.prop(settings, "server_file")
    elif settings.server_input == "CAMERA":
        layout.prop(settings, "server_camera")
    if settings.server_input != "CAMERA":
        layout.prop(settings, "server_loop")
    if steering.server_runs():
        layout.operator("dptstream.stop_server", icon="CANCEL")
    else:
        layout.operator("dptstream.start_server", icon="CONSOLE")
    if steering.server_problem():
        draw_alert(layout, steering.server_problem())
    lines = steering.log(LOG_LINES_SHOWN)
    if lines:
        box = layout.box()
        for line in lines:
            box.label(text=line)
        box.operator("dptstream.copy_log", icon="COPYDOWN")


_CLASSES = (DPTSTREAM_PT_live, DPTSTREAM_PT_display, DPTSTREAM_PT_steering, DPTSTREAM_PT_server)


def register() -> None:
    """Register the panels."""
    register_classes(_CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(_CLASSES)
