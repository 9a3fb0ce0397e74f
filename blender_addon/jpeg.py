"""Decodes JPEGs by Blender's own means, on the main thread, into one image that no file ever holds."""

from contextlib import suppress
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

# The dot keeps it out of lists of images; without users it is not saved.
IMAGE_NAME = ".Depth Stream picture"


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8] | None:
    """Return (H, W, 3) sRGB pixels of a JPEG of this size, or None where it cannot be decoded."""
    image = bpy.data.images.get(IMAGE_NAME) or bpy.data.images.new(IMAGE_NAME, 1, 1)
    image.source = "FILE"
    image.pack(data=data, data_len=len(data))
    image.buffers_free()
    if tuple(image.size) != (width, height):
        return None
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    # Blender's rows begin at the bottom.
    rgb = pixels.reshape(height, width, 4)[::-1, :, :3]
    return np.rint(rgb * 255).astype(np.uint8)


def forget() -> None:
    """Remove the image."""
    image: Any = bpy.data.images.get(IMAGE_NAME)
    if image is not None:
        with suppress(ReferenceError):
            bpy.data.images.remove(image)
