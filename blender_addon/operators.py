"""What the panel's buttons do. Greyed ones say why."""

import ipaddress
import math
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bpy
from bpy.props import BoolProperty
from mathutils import Euler

from . import live, preferences, steering
from .camera import match_render
from .compat import register_classes, unregister_classes
from .light import errors
from .scene import live_camera, live_object, make_camera
from .server import Order, camera_location, sequence_location

TRUE_TRANSFORMS = ("Standard", "Raw")
"""View transforms that leave a video's colours as they are."""


class DPTSTREAM_OT_connect(bpy.types.Operator):
    """Listen to the depth feed and show it in this scene"""

    bl_idname = "dptstream.connect"
    bl_label = "Connect"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return _granted(cls, why_not_connect(context.scene))

    def execute(self, context: Any) -> set[str]:
        is_new = live_object(context.scene) is None
        try:
            live.connect(context.scene)
        except (errors.DptStreamError, ValueError) as error:
            live.set_problem(errors.describe(error))
            self.report({"ERROR"}, live.problem())
            return {"CANCELLED"}
        if is_new:
            _make_active(context, live_object(context.scene))
            _bring_into_view(context)
            # Without a step of its own, the object would vanish when something before it is undone.
            bpy.ops.ed.undo_push(message="Connect to Depth")
        return {"FINISHED"}


class DPTSTREAM_OT_disconnect(bpy.types.Operator):
    """Stop listening; the last frame stays"""

    bl_idname = "dptstream.disconnect"
    bl_label = "Disconnect"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _granted(cls, "" if live.connection() else "not connected")

    def execute(self, _context: Any) -> set[str]:
        live.disconnect()
        return {"FINISHED"}


class DPTSTREAM_OT_look_through(bpy.types.Operator):
    """Look through the camera that sees what the feed's camera sees, and give renders the video's shape"""

    bl_idname = "dptstream.look_through"
    bl_label = "Look Through Camera"
    bl_options = {"REGISTER", "UNDO"}

    set_render: BoolProperty(name="Render Size", description="Give renders the video's size", default=True)

    @classmethod
    def poll(cls, context: Any) -> bool:
        return _granted(cls, "" if live_object(context.scene) else "connect first: the camera comes with the feed")

    def execute(self, context: Any) -> set[str]:
        scene, connection = context.scene, live.connection()
        scene.camera = live_camera(scene) or make_camera(scene, live_object(scene))
        if self.set_render and connection is not None and connection.picture is not None:
            message = connection.picture.message
            match_render(scene, message.intrinsics, message.source.width, message.source.height)
        view = getattr(context.space_data, "region_3d", None)
        if view is not None:
            view.view_perspective = "CAMERA"
        return {"FINISHED"}


class DPTSTREAM_OT_true_colors(bpy.types.Operator):
    """Show the video's colours as they are: other view transforms are made for lit scenes and dull a video"""

    bl_idname = "dptstream.true_colors"
    bl_label = "Show True Colors"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        is_true = context.scene.view_settings.view_transform in TRUE_TRANSFORMS
        return _granted(cls, "colours are shown as they are" if is_true else "")

    def execute(self, context: Any) -> set[str]:
        context.scene.view_settings.view_transform = "Standard"
        return {"FINISHED"}


class DPTSTREAM_OT_start_server(bpy.types.Operator):
    """Run dptstream serve on this computer, then connect to it"""

    bl_idname = "dptstream.start_server"
    bl_label = "Start Server"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: Any) -> bool:
        return _granted(cls, why_not_serve(context))

    def execute(self, context: Any) -> set[str]:
        try:
            steering.start_server(order(context))
        except OSError as error:
            self.report(
                {"ERROR"}, f"cannot start {preferences.python()}: {error.strerror}; name another in Preferences"
            )
            return {"CANCELLED"}
        if live.connection() is None and not why_not_connect(context.scene):
            bpy.ops.dptstream.connect()
        return {"FINISHED"}


class DPTSTREAM_OT_stop_server(bpy.types.Operator):
    """End the server that was started here"""

    bl_idname = "dptstream.stop_server"
    bl_label = "Stop Server"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _granted(cls, "" if steering.server_runs() else "no server was started here")

    def execute(self, _context: Any) -> set[str]:
        steering.stop_server()
        return {"FINISHED"}


class DPTSTREAM_OT_copy_log(bpy.types.Operator):
    """Copy the server's log to the clipboard"""

    bl_idname = "dptstream.copy_log"
    bl_label = "Copy Log"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        return _granted(cls, "" if steering.log() else "there is no log yet")

    def execute(self, context: Any) -> set[str]:
        context.window_manager.clipboard = "\n".join(steering.log())
        return {"FINISHED"}


class DPTSTREAM_OT_steer(bpy.types.Operator):
    """Have the server use this model, size and smoothing; loading a model may take a while"""

    bl_idname = "dptstream.steer"
    bl_label = "Apply"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: Any) -> bool:
        if live.connection() is None:
            return _granted(cls, "connect to a server first")
        return _granted(cls, "the server has not answered the last order yet" if steering.busy() else "")

    def execute(self, context: Any) -> set[str]:
        settings = context.scene.dptstream
        try:
            steering.steer(settings)
        except (errors.DptStreamError, ValueError) as error:
            self.report({"ERROR"}, errors.describe(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def why_not_connect(scene: Any) -> str:
    """Return why one cannot connect just now; empty where one can."""
    endpoint = scene.dptstream.endpoint
    if live.connection() is not None:
        return "connected already"
    if scene.library is not None:
        return "this scene is linked from another file: connect in one of this file's own"
    if not endpoint.strip():
        return "enter the address that dptstream serve says"
    if is_internet(endpoint) and not bpy.app.online_access:
        return "this address is on the internet: allow online access in Preferences > System first"
    return ""


def why_not_serve(context: Any) -> str:
    """Return why no server can be started just now; empty where one can."""
    if steering.server_runs():
        return "a server runs already; stop it first"
    if not preferences.python():
        return "name the Python that has dptstream, here or in Preferences > Add-ons > Depth Stream"
    settings = context.scene.dptstream
    if settings.server_input == "FILE" and not settings.server_file:
        return "choose a file"
    if settings.server_input == "CLIP" and open_clip(context) is None:
        return "open a clip in the Movie Clip Editor"
    return ""


def is_internet(endpoint: str) -> bool:
    """Return whether an address lies beyond this computer and its local network."""
    try:
        host = urlsplit(endpoint.strip()).hostname or ""
    except ValueError:
        return False  # no address at all, which connecting says better
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".lan", ".internal"))
    return not (address.is_private or address.is_loopback or address.is_link_local)


def open_clip(context: Any) -> Any | None:
    """Return the clip open in a Movie Clip Editor, or else the scene's active one; None where there is none."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "CLIP_EDITOR" and area.spaces.active.clip is not None:
                return area.spaces.active.clip
    return context.scene.active_clip


def order(context: Any) -> Order:
    """Return what to serve, and how, as the scene's settings say."""
    settings = context.scene.dptstream
    if settings.server_input == "CAMERA":
        location = camera_location(settings.server_camera)
    elif settings.server_input == "CLIP":
        clip = open_clip(context)
        assert clip is not None, "the button is greyed without one"
        path = str(Path(bpy.path.abspath(clip.filepath)).resolve())
        location = sequence_location(path) if clip.source == "SEQUENCE" else path
    else:
        location = str(Path(bpy.path.abspath(settings.server_file)).resolve())
    return Order(
        python=preferences.python(),
        location=location,
        endpoint=settings.endpoint,
        control=settings.control,
        model=settings.model,
        size=settings.size,
        smoothing=settings.smoothing,
        loop=settings.server_loop and settings.server_input != "CAMERA",
    )


def _granted(operator: Any, refusal: str) -> bool:
    if refusal:
        operator.poll_message_set(f"{refusal[0].upper()}{refusal[1:]}")
    return not refusal


def _make_active(context: Any, shown: Any) -> None:
    """Show the object's settings; selected, every cut of its surface would be outlined in orange."""
    if context.mode != "OBJECT" or context.view_layer.objects.get(shown.name) != shown:
        return  # something else is being edited, or the collection is left out of this view layer
    for other in context.selected_objects:
        other.select_set(False)
    context.view_layer.objects.active = shown


def _bring_into_view(context: Any) -> None:
    """Have the 3D view in which the button was pressed show the depth in its colours, from above and behind its camera."""
    space = context.space_data
    if getattr(space, "type", "") != "VIEW_3D":
        return
    if space.shading.type in ("SOLID", "WIREFRAME"):
        _show_colors(space.shading)  # in solid shading a video would be grey
    view = space.region_3d
    if view.view_perspective != "CAMERA":
        view.view_location, view.view_distance = (0.0, 4.0, 0.5), 14.0
        view.view_rotation = Euler((math.radians(70), 0.0, math.radians(-20))).to_quaternion()


def _show_colors(shading: Any) -> None:
    try:
        shading.type = "MATERIAL"
    except TypeError:  # where Workbench renders, there is no Material Preview
        shading.type, shading.light, shading.color_type = "SOLID", "FLAT", "VERTEX"


_CLASSES = (
    DPTSTREAM_OT_connect,
    DPTSTREAM_OT_disconnect,
    DPTSTREAM_OT_look_through,
    DPTSTREAM_OT_true_colors,
    DPTSTREAM_OT_start_server,
    DPTSTREAM_OT_stop_server,
    DPTSTREAM_OT_copy_log,
    DPTSTREAM_OT_steer,
)


def register() -> None:
    """Register the operators."""
    register_classes(_CLASSES)


def unregister() -> None:
    """Take them back."""
    unregister_classes(_CLASSES)
