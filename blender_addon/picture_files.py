"""Pictures as files, quick to write and quick for Blender to read. Knows no ``bpy``; opens no file."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_EXR_MAGIC = b"\x76\x2f\x31\x01\x02\x00\x00\x00"
_EXR_FLOAT = 2
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_RGB = 2


def exr_bytes(values_hw: NDArray[np.float32], comments: str) -> bytes:
    """Return an OpenEXR file with one float channel ``Y``, not compressed: at 30 frames a second nothing else keeps up.

    Args:
        values_hw: (H, W) values; NaN and infinities are kept.
        comments: What the values mean, for the header.
    """
    height, width = values_hw.shape
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"Y\0" + struct.pack("<i4B2i", _EXR_FLOAT, 1, 0, 0, 0, 1, 1) + b"\0"
    header = b"".join(
        (
            _EXR_MAGIC,
            _attribute("channels", "chlist", channels),
            _attribute("comments", "string", comments.encode()),
            _attribute("compression", "compression", b"\0"),
            _attribute("dataWindow", "box2i", box),
            _attribute("displayWindow", "box2i", box),
            _attribute("lineOrder", "lineOrder", b"\0"),
            _attribute("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
            _attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
            _attribute("screenWindowWidth", "float", struct.pack("<f", 1.0)),
            b"\0",
        )
    )
    lines = np.empty(height, np.dtype([("y", "<i4"), ("size", "<i4"), ("pixels", "<f4", (width,))]))
    lines["y"] = np.arange(height)
    lines["size"] = width * 4
    lines["pixels"] = values_hw
    first = len(header) + height * 8
    offsets = (first + np.arange(height, dtype="<u8") * lines.itemsize).astype("<u8")
    return header + offsets.tobytes() + lines.tobytes()


def png_bytes(picture_hwc: NDArray[np.uint8], *, level: int = 1) -> bytes:
    """Return an 8-bit RGB PNG of (H, W, 3) ``picture_hwc``; ``level`` is zlib's, 0 (quickest) to 9."""
    height, width, _ = picture_hwc.shape
    rows = np.zeros((height, 1 + width * 3), np.uint8)  # each row begins with its filter's number, 0
    rows[:, 1:] = picture_hwc.reshape(height, -1)
    size = struct.pack(">2I5B", width, height, 8, _PNG_RGB, 0, 0, 0)
    body = zlib.compress(rows.data, level)
    return b"".join(
        (_PNG_MAGIC, _chunk(b"IHDR", size), _chunk(b"sRGB", b"\0"), _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    )


def _attribute(name: str, kind: str, value: bytes) -> bytes:
    return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
