"""Coloured points as binary PLY. Opens no file."""

import numpy as np
from numpy.typing import NDArray

_VERTEX = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")], align=False
)


def ply_bytes(points_n3: NDArray[np.float32], colors_n3: NDArray[np.uint8], comments: list[str]) -> bytes:
    """Return the bytes of a binary little-endian PLY of N points, x y z float32 and red green blue uchar."""
    vertices = np.empty(len(points_n3), _VERTEX)
    for axis, name in enumerate(("x", "y", "z")):
        vertices[name] = points_n3[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colors_n3[:, channel]
    header = ["ply", "format binary_little_endian 1.0"]
    header += [f"comment {' '.join(line.split())}" for line in comments]
    header.append(f"element vertex {len(vertices)}")
    header += [f"property float {name}" for name in ("x", "y", "z")]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header.append("end_header\n")
    return "\n".join(header).encode("ascii", "replace") + vertices.tobytes()
