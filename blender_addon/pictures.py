"""Frames of a feed, laid out as Blender's fast calls want them. Knows neither ``bpy`` nor sockets."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .light import geometry

if TYPE_CHECKING:
    from dptstream.geometry import Intrinsics
    from dptstream.wire import FrameMessage

MAX_POINTS = 2**22
"""Points that are shown at most; of larger frames each so-many-th pixel is. A surface takes some 80 bytes for each."""
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset(range(0xD0, 0xDA)) | {0x01}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame, ready to be handed to Blender."""

    message: "FrameMessage"
    """All that came with it."""
    seen: "Intrinsics"
    """The camera at the size shown."""
    depth: NDArray[np.float32]
    """(H * W) values, row by row, contiguous; NaN where there is none."""
    colors: NDArray[np.float32] | None
    """(H * W * 4) linear RGBA, contiguous; None where the feed sends none, or a JPEG."""
    jpeg: bytes | None
    """The picture as a JPEG file of the announced size, which only Blender can decode; None once it has."""


def laid_out(message: "FrameMessage") -> Picture:
    """Lay out a frame; of one with too many pixels each second, third… along rows and columns."""
    plane, values = message.depth, message.depth.values()
    step = math.ceil(math.sqrt(max(1.0, values.size / MAX_POINTS)))
    values = np.ascontiguousarray(values[::step, ::step])
    height, width = values.shape
    seen = thinned(message.intrinsics.scaled_to(plane.width, plane.height), step)
    pixels = getattr(message.color, "pixels", None)
    colors = None if pixels is None else linear_colors(pixels, height, width)
    return Picture(message, seen, values.reshape(-1), colors, _checked_jpeg(message.color))


def developed(picture: Picture, pixels: NDArray[np.float32]) -> Picture:
    """Return ``picture`` with colours instead of its JPEG.

    Args:
        picture: One with a JPEG.
        pixels: (H * W * 4) of the JPEG, n / 255, all opaque, rows from the bottom, contiguous; may be written over.
    """
    color, seen = picture.message.color, picture.seen
    assert color is not None
    codes = np.empty((color.height, color.width * 4), np.uint8)
    # Half a step more than 255 of them, cut off, is n: rounding takes several times as long.
    np.multiply(pixels.reshape(color.height, -1)[::-1], np.float32(255.5), out=codes, casting="unsafe")
    if (color.height, color.width) == (seen.height, seen.width):
        colors = _LINEAR.take(codes.reshape(-1), out=pixels, mode="clip")  # quicker than to check
    else:
        colors = linear_colors(codes.reshape(color.height, color.width, 4)[..., :3], seen.height, seen.width)
    return replace(picture, colors=colors, jpeg=None)


def thinned(camera: "Intrinsics", step: int) -> "Intrinsics":
    """Return the camera of a picture of which each ``step``-th pixel along rows and columns, from the first, is taken."""
    return geometry.Intrinsics(
        camera.fx / step,
        camera.fy / step,
        (camera.cx - 0.5) / step + 0.5,
        (camera.cy - 0.5) / step + 0.5,
        math.ceil(camera.width / step),
        math.ceil(camera.height / step),
        camera.origin,
    )


def linear_colors(pixels_hwc: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """Return an sRGB picture as (height * width * 4) linear RGBA, contiguous; the nearest pixels at another size."""
    if pixels_hwc.shape[:2] != (height, width):
        rows = (np.arange(height) + 0.5) * pixels_hwc.shape[0] / height
        columns = (np.arange(width) + 0.5) * pixels_hwc.shape[1] / width
        pixels_hwc = pixels_hwc[rows.astype(int)[:, None], columns.astype(int)]
    colors = np.empty((height * width, 4), np.float32)
    colors[:, :3] = _LINEAR.take(pixels_hwc.reshape(-1, 3))
    colors[:, 3] = 1.0
    return colors.reshape(-1)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) from a JPEG's header (ITU T.81, B.2.2), or None where there is none."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _SIZE_MARKERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 if marker in _BARE_MARKERS else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _checked_jpeg(color: Any) -> bytes | None:
    """Return a JPEG that is as large as was announced: a small file may claim a picture that fills all memory."""
    data = None if color is None or hasattr(color, "pixels") else bytes(color.data)
    return data if data is not None and jpeg_size(data) == (color.width, color.height) else None


def _linear_table() -> NDArray[np.float32]:
    """Return the linear value of each of sRGB's 256 (IEC 61966-2-1)."""
    encoded = np.arange(256) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()
