"""A frame's depth while it waits on the disk for its shot to end: a JSON line, then raw bytes.

Not NumPy's own format: reading that parses Python source, which in Python 3.11 fails now and then
when several threads do it at once ("AST constructor recursion depth mismatch").
"""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import OutputResize
from .preview import pack_picture, unpack_picture


@dataclass(frozen=True, slots=True, eq=False)
class WaitingFrame:
    """What a frame's deferred formats are made from."""

    depth: NDArray[np.float32]
    """(h, w) as the model gave it."""
    size_hw: tuple[int, int]
    """Height and width of the picture."""
    output_resize: OutputResize
    """How the depth is brought to the picture's size."""
    picture: NDArray[np.uint8] | None
    """(H, W, 3) RGB, where a format needs it."""


def pack_waiting(waiting: WaitingFrame, *, lossless: bool) -> bytes:
    """Return ``waiting`` as bytes, its picture as JPEG unless ``lossless``."""
    header = {
        "depth_hw": waiting.depth.shape,
        "size_hw": waiting.size_hw,
        "output_resize": waiting.output_resize,
        "has_picture": waiting.picture is not None,
    }
    parts = [json.dumps(header).encode(), b"\n", np.ascontiguousarray(waiting.depth, "<f4").tobytes()]
    if waiting.picture is not None:
        parts.append(pack_picture(waiting.picture, lossless=lossless).tobytes())
    return b"".join(parts)


def unpack_waiting(content: bytes) -> WaitingFrame:
    """Return what ``pack_waiting`` packed; raises ValueError where bytes are missing."""
    line, _, body = content.partition(b"\n")
    header = json.loads(line)
    height, width = header["depth_hw"]
    depth = np.frombuffer(body, "<f4", height * width).reshape(height, width).copy()  # writable, as torch wants it
    picture = None
    if header["has_picture"]:
        picture = unpack_picture(np.frombuffer(body, np.uint8, offset=depth.nbytes))
    return WaitingFrame(depth, tuple(header["size_hw"]), header["output_resize"], picture)
