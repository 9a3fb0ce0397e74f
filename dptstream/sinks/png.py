"""16-bit grey PNG with its scale and offset inside. Opens no file."""

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

_SIGNATURE_AND_HEADER = 8 + 25
"""Bytes before the first place where a text chunk may stand: the signature and the IHDR chunk."""


def png16_bytes(codes_hw: NDArray[np.uint16], text: dict[str, str]) -> bytes:
    """Return the bytes of a PNG with ``codes_hw`` and a ``tEXt`` chunk for each entry of ``text`` (Latin-1)."""
    # Level 1: higher levels take several times as long for a few per cent.
    _, encoded = cv2.imencode(".png", codes_hw, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    png = encoded.tobytes()
    chunks = b"".join(_text_chunk(key, value) for key, value in text.items())
    return png[:_SIGNATURE_AND_HEADER] + chunks + png[_SIGNATURE_AND_HEADER:]


def _text_chunk(key: str, value: str) -> bytes:
    body = b"tEXt" + key.encode("latin-1") + b"\x00" + value.encode("latin-1", "replace")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
