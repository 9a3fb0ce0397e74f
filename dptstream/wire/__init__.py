"""The wire: what a depth feed says, byte by byte. Light: numpy and the standard library alone.

What owns a socket lies in modules of its own, which need pyzmq: ``publisher``, ``subscriber``, ``control``.
The bytes are specified in README.md beside this file.
"""

from .messages import (
    DepthPlane,
    EndMessage,
    FrameMessage,
    JpegColor,
    Message,
    RawColor,
    SourceNote,
    StatusMessage,
)
from .packing import WIRE_VERSION, Compression, Limits, pack, unpack

__all__ = [
    "WIRE_VERSION",
    "Compression",
    "DepthPlane",
    "EndMessage",
    "FrameMessage",
    "JpegColor",
    "Limits",
    "Message",
    "RawColor",
    "SourceNote",
    "StatusMessage",
    "pack",
    "unpack",
]
