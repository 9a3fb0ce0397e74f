"""Lossless compression of depth for thin links. The standard library decodes it; zstd is faster where it is installed.

Neighbouring pixels differ little, so each row becomes differences from the pixel to the left (modulo 2^bits); then all
low bytes come before all high bytes, of which the latter are nearly all equal. Smooth depth shrinks to about half.
"""

import zlib
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtraError, WireError

_ZLIB_LEVEL = 1
"""Higher levels cost several times the time for a few per cent."""


def shuffle(codes_hw: NDArray[Any]) -> bytes:
    """Return the row differences of ``codes_hw`` (2 or 4 bytes an element), least significant bytes first."""
    words = np.ascontiguousarray(codes_hw).view(f"u{codes_hw.itemsize}")
    differences = words.copy()
    differences[:, 1:] -= words[:, :-1]
    little = differences.astype(f"<u{codes_hw.itemsize}", copy=False)
    return little.view(np.uint8).reshape(-1, codes_hw.itemsize).T.tobytes()


def unshuffle(data: bytes, height: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the (height, width) array that ``shuffle`` was given; ``data`` has the right length."""
    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1)
    differences = np.ascontiguousarray(planes.T).view(f"<u{dtype.itemsize}").reshape(height, width)
    words = np.add.accumulate(differences, axis=1, dtype=np.dtype(f"u{dtype.itemsize}"))
    return words.view(dtype)


def compress_zlib(data: bytes) -> bytes:
    """Compress as a zlib stream."""
    return zlib.compress(data, _ZLIB_LEVEL)


def decompress_zlib(data: bytes | memoryview, size: int) -> bytes:
    """Return exactly ``size`` bytes, allocating no more; raises WireError where the stream holds anything else."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, size)
        # A stream of the right size may still owe its checksum, but no byte of content.
        rest = stream.decompress(stream.unconsumed_tail, 1) if not stream.eof else b""
    except zlib.error as error:
        raise WireError(f"compressed depth is damaged: {error}") from None
    if len(plain) != size or rest or not stream.eof or stream.unused_data:
        raise WireError(f"compressed depth does not hold the {size} bytes announced")
    return plain


def compress_zstd(data: bytes) -> bytes:
    """Compress as one zstd frame that states its size; raises MissingExtraError."""
    try:
        packed: bytes = _zstd().ZstdCompressor(level=1).compress(data)
    except ImportError:
        raise MissingExtraError('zstd compression needs a package of its own: pip install "zstandard"') from None
    return packed


def decompress_zstd(data: bytes | memoryview, size: int) -> bytes:
    """Return exactly ``size`` bytes; raises WireError where the frame states or holds anything else."""
    try:
        zstd = _zstd()
    except ImportError:
        raise WireError('the depth is compressed by zstd, which is not installed: pip install "zstandard"') from None
    try:
        # The size a frame states is allocated before anything is decoded.
        stated = zstd.frame_content_size(data)
        if stated != size:
            raise WireError(f"compressed depth states {stated} bytes where {size} were announced")
        plain: bytes = zstd.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstd.ZstdError as error:
        raise WireError(f"compressed depth is damaged: {error}") from None
    return plain


def _zstd() -> Any:
    return import_module("zstandard")
