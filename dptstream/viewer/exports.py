"""Clouds as files: PLY, GLB and PNG, and the bytes of them. Knows no feed."""

import contextlib
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SinkError
from .cloud import Cloud, turned
from .settings import Mode

CloudFormat = Literal["ply", "glb"]

_VERTEX = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_POINTS, _TRIANGLES = 0, 4


def save_cloud(path: Path, cloud: Cloud, mode: Mode, comments: Sequence[str] = ()) -> None:
    """Write a cloud as the suffix of ``path`` says, ``.ply`` or ``.glb``; raises SinkError, ValueError.

    PLY keeps the cloud's axes. glTF knows one set of axes alone, y up and z backward, and gets that.
    """
    writers = {".ply": ply_bytes, ".glb": glb_bytes}
    if path.suffix.lower() not in writers:
        raise ValueError(f"points are saved as .ply or .glb; got {path.name}")
    save_bytes(path, writers[path.suffix.lower()](cloud, mode, comments))


def save_bytes(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is whole; raises SinkError."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise SinkError(f"cannot write {path}: {error.strerror}") from None


def ply_bytes(cloud: Cloud, mode: Mode, comments: Sequence[str] = ()) -> bytes:
    """Return a binary little-endian PLY: x y z float32, red green blue uchar; a surface also has its triangles."""
    points, colors, triangles = _contents(cloud, mode)
    vertices = np.empty(len(points), _VERTEX)
    vertices["xyz"], vertices["rgb"] = points, colors
    unit = "metres" if cloud.unit == "m" else "scene units, no metres"
    header = ["ply", "format binary_little_endian 1.0", f"comment {unit}; axes: {cloud.axes}"]
    header += [f"comment {' '.join(line.split())}" for line in comments]
    header.append(f"element vertex {len(vertices)}")
    header += [f"property float {name}" for name in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    faces = np.empty(len(triangles), _FACE)
    if mode == "surface":
        faces["count"], faces["corners"] = 3, triangles
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    header.append("end_header\n")
    return "\n".join(header).encode("ascii", "replace") + vertices.tobytes() + faces.tobytes()


def glb_bytes(cloud: Cloud, mode: Mode, comments: Sequence[str] = ()) -> bytes:
    """Return a binary glTF 2.0 with one mesh, of points or unlit triangles, with a colour at each vertex.

    A frame without a point gives a scene without a mesh, as glTF knows no empty one: a sequence has all its files.
    """
    asset = {"version": "2.0", "generator": "dptstream", "extras": {"comments": list(comments)}}
    points, colors, triangles = _contents(cloud, mode)
    if not len(points):
        return _glb({"asset": asset, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"name": "depth"}]}, b"")
    points = _to_gltf(points, cloud)
    # glTF's vertex colours are linear light; 8 bits of that would show steps in the dark.
    rgba = np.full((len(colors), 4), 65535, np.uint16)
    rgba[:, :3] = _LINEAR[colors]
    planes: list[tuple[NDArray[np.generic], int, int, str]] = [
        (points, _ARRAY_BUFFER, _FLOAT, "VEC3"),
        (rgba, _ARRAY_BUFFER, _UNSIGNED_SHORT, "VEC4"),
    ]
    if mode == "surface":
        planes.append((triangles.astype(np.uint32).reshape(-1), _ELEMENT_ARRAY_BUFFER, _UNSIGNED_INT, "SCALAR"))
    views, accessors, offset = [], [], 0
    for plane, target, component, form in planes:
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": plane.nbytes, "target": target})
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(plane), "type": form})
        offset += plane.nbytes  # each is a multiple of four bytes, which glTF asks for
    accessors[0] |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    accessors[1]["normalized"] = True
    primitive: dict[str, object] = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": _POINTS, "material": 0}
    if mode == "surface":
        primitive |= {"indices": 2, "mode": _TRIANGLES}
    document = {
        "asset": asset,
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "depth"}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [
            {
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
            }
        ],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    return _glb(document, b"".join(plane.tobytes() for plane, *_ in planes))


def _glb(document: dict[str, object], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def png_bytes(image_hwc: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) RGB picture as a PNG."""
    height, width = image_hwc.shape[:2]
    rows = np.zeros((height, 1 + width * 3), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = image_hwc.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _contents(cloud: Cloud, mode: Mode) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32]]:
    if mode == "surface":
        return cloud.surface()
    return (*cloud.points(), np.empty((0, 3), np.int32))


def _to_gltf(points: NDArray[np.float32], cloud: Cloud) -> NDArray[np.float32]:
    """Turn points to glTF's axes; each of ours is a turn of OpenCV's that undoes itself, but for Blender's."""
    opencv = turned(points, cloud.axes)
    if cloud.axes == "blender":
        opencv = np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)
    return np.ascontiguousarray(turned(opencv, "opengl"))


def _linear_light() -> NDArray[np.uint16]:
    share = np.arange(256) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.rint(linear * 65535), np.uint16)


_LINEAR = _linear_light()
