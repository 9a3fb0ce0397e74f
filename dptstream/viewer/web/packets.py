"""One frame as a page gets it: the wire's own header and planes in one piece. Sends nothing.

A packet is two little-endian 32-bit integers (bytes of the header, bytes of the depth plane), the header that
``wire/README.md`` specifies, padded by blanks to a multiple of 8 bytes, the depth plane and the picture.
"""

import io
import struct
import threading
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal

from ...wire import FrameMessage, JpegColor, RawColor, pack

Quality = Literal["full", "light"]

_PREFIX = struct.Struct("<II")
_JPEG_QUALITY = 85


class Packet:
    """One frame, and its bytes once somebody wants them; shared by all pages. Threads may call it at will."""

    def __init__(self, message: FrameMessage) -> None:
        self.message = message
        self._bytes: dict[Quality, bytes] = {}
        self._lock = threading.Lock()

    def data(self, quality: Quality) -> bytes:
        """Return the packet.

        Args:
            quality: ``full`` sends planes as they came; ``light`` a JPEG and compressed depth, for thin links: a quarter
                of the bytes or less, with every depth value the same, for some 20 ms a frame.
        """
        with self._lock:
            if quality not in self._bytes:
                self._bytes[quality] = _join(self.message) if quality == "full" else _join_light(self.message)
            return self._bytes[quality]


def _join(message: FrameMessage, *, compressed: bool = False) -> bytes:
    _, header, depth, *color = pack(message, compression="delta-zlib" if compressed else "none")
    padded = bytes(header) + b" " * (-len(header) % 8)
    return b"".join([_PREFIX.pack(len(padded), len(depth)), padded, depth, *color])


def _join_light(message: FrameMessage) -> bytes:
    if isinstance(message.color, RawColor):
        message = replace(message, color=_as_jpeg(message.color))
    return _join(message, compressed=True)


def _as_jpeg(color: RawColor) -> RawColor | JpegColor:
    try:
        pillow: Any = import_module("PIL.Image")
    except ImportError:
        return color
    file = io.BytesIO()
    pillow.fromarray(color.pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
    return JpegColor(file.getvalue(), color.width, color.height)
