"""Decodes JPEGs by Blender's own means, on the main thread, into one image that no file ever holds.

Nothing else decodes them in all Blenders from 4.2 to 5.2: not each build brings OpenImageIO for Python, which reads no file
from memory, and ``imbuf`` gives out pixels only since 5.2.
"""

from contextlib import suppress
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

# The dot keeps it out of lists of images; without users it is not saved.
IMAGE_NAME = ".Depth Stream picture"
_pixels: NDArray[np.float32] = np.empty(0, np.float32)


def decode(data: bytes, width: int, height: int) -> NDArray[np.float32] | None:
    """Return (height * width * 4) of a JPEG of this size: n / 255 of its sRGB, rows from the bottom; None where it fails.

    The next call writes over it: new memory for each picture would take longer than all else but the decoding.
    """
    global _pixels  # noqa: PLW0603 - one image, one buffer
    image = bpy.data.images.get(IMAGE_NAME) or bpy.data.images.new(IMAGE_NAME, 1, 1)
    image.source = "FILE"
    image.pack(data=data, data_len=len(data))
    image.buffers_free()
    if tuple(image.size) != (width, height):
        return None
    if _pixels.size != width * height * 4:
        _pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(_pixels)
    return _pixels


def forget() -> None:
    """Remove the image and the buffer."""
    global _pixels  # noqa: PLW0603
    _pixels = np.empty(0, np.float32)
    image: Any = bpy.data.images.get(IMAGE_NAME)
    if image is not None:
        with suppress(ReferenceError):
            bpy.data.images.remove(image)
