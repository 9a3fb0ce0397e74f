"""Blender cameras that see what the camera of a depth map saw."""

import math
from typing import Any, Protocol

import bpy

SENSOR_WIDTH_MM = 36.0
"""Width of every sensor made here; focal lengths then read as on full frame."""


class Pinhole(Protocol):
    """A camera's inside, in pixels from the top left corner: ``geometry.Intrinsics`` is one."""

    @property
    def fx(self) -> float:
        """Focal length along x."""

    @property
    def fy(self) -> float:
        """Focal length along y."""

    @property
    def cx(self) -> float:
        """Principal point from the left."""

    @property
    def cy(self) -> float:
        """Principal point from the top."""

    @property
    def width(self) -> int:
        """Width of the picture."""

    @property
    def height(self) -> int:
        """Height of the picture."""


def add_camera(collection: Any, name: str, shown: Any, seen: Pinhole) -> Any:
    """Add a camera to ``collection`` that stays with the object ``shown`` and sees its depth as ``seen`` did."""
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    collection.objects.link(camera)
    camera.parent = shown
    # Blender's cameras look along -Z with Y up; the rays of the node group go along +Y with Z up.
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)
    camera.data.display_size = 0.2
    match_camera(camera, seen)
    return camera


def match_camera(camera: Any, seen: Pinhole) -> None:
    """Give ``camera`` the focal length and the shift of ``seen``; nothing is written where they are so already."""
    # Blender measures both shifts in widths of the picture; along y a pixel may be of another height than along x.
    numbers = {
        "sensor_width": SENSOR_WIDTH_MM,
        "lens": seen.fx / seen.width * SENSOR_WIDTH_MM,
        "shift_x": 0.5 - seen.cx / seen.width,
        "shift_y": (seen.cy - seen.height / 2) / seen.width * (seen.fx / seen.fy),
    }
    camera.data.sensor_fit = "HORIZONTAL"
    for name, value in numbers.items():
        if not math.isclose(getattr(camera.data, name), value, rel_tol=1e-6, abs_tol=1e-7):
            setattr(camera.data, name, value)


def match_render(scene: Any, seen: Pinhole, width: int | None = None, height: int | None = None) -> None:
    """Give ``scene`` the picture's shape: ``width`` x ``height`` or that of ``seen``, and the height of its pixels."""
    render = scene.render
    render.resolution_x = width or seen.width
    render.resolution_y = height or seen.height
    render.resolution_percentage = 100
    # With the picture at another size than the camera's numbers, pixels of another shape may be the outcome.
    fx = seen.fx / seen.width * render.resolution_x
    fy = seen.fy / seen.height * render.resolution_y
    render.pixel_aspect_x = max(1.0, fy / fx)
    render.pixel_aspect_y = max(1.0, fx / fy)
