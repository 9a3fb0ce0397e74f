"""Depth as OpenEXR: the model's own float values, lossless, with what they mean in the header.

Layout (see README.md): the depth channel under its own name, and a copy called ``Y`` because plain
image loaders (Blender's, OpenCV's) look for luminance and show any other single channel as black. The
copy costs a few per cent, since the compressor meets every byte twice within its window.
"""

import io
from fractions import Fraction

import numpy as np
import OpenEXR
from numpy.typing import NDArray

from ..geometry import Intrinsics
from ..geometry.camera import FULL_FRAME_WIDTH_MM
from .options import Compression
from .quantity import Quantity

PLAIN_CHANNELS = frozenset({"R", "G", "B", "A", "Y"})
"""Channel names that plain image loaders show by themselves."""

_COMPRESSION = {
    "zip": OpenEXR.ZIP_COMPRESSION,
    "zips": OpenEXR.ZIPS_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
    "none": OpenEXR.NO_COMPRESSION,
}

HALF_MAX = 65504.0
"""Largest finite value of a 16-bit float; larger ones become infinite."""


def channel_names(quantity: Quantity, override: str | None) -> tuple[str, ...]:
    """Return the channels of a file, the depth's own name first."""
    name = override or ("Z" if quantity.unit == "m" else quantity.name)
    return (name,) if name in PLAIN_CHANNELS else (name, "Y")


def exr_bytes(
    values_hw: NDArray[np.float32],
    header: dict[str, object],
    channels: tuple[str, ...],
    *,
    half: bool = False,
    compression: Compression = "zip",
) -> memoryview:
    """Return the bytes of a single-part EXR file.

    They are made in memory because the library, writing to a full disk itself, may leave a file that
    lacks its end and say nothing.
    """
    with np.errstate(over="ignore"):
        pixels = values_hw.astype(np.float16) if half else np.ascontiguousarray(values_hw, np.float32)
    stream = io.BytesIO()
    full_header = {"compression": _COMPRESSION[compression], "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(full_header, dict.fromkeys(channels, pixels)).write(stream)
    return stream.getbuffer()


def clip_header(
    quantity: Quantity, kind: str, model: dict[str, object], intrinsics: Intrinsics, rate: Fraction | None
) -> dict[str, object]:
    """Return the header attributes that every frame of a clip shares."""
    header: dict[str, object] = {
        "comments": f"{quantity.name.replace('_', ' ')}, {quantity.unit or 'no unit'}, {quantity.polarity}; "
        "data, not colour: use without any colour transform",
        "pinholeFocalLength": float(intrinsics.focal_mm),
        "sensorOverallDimensions": (
            FULL_FRAME_WIDTH_MM,
            FULL_FRAME_WIDTH_MM * intrinsics.height / intrinsics.width * intrinsics.fx / intrinsics.fy,
        ),
        "dptstream/kind": kind,
        "dptstream/values": quantity.name,
        "dptstream/unit": quantity.unit or "none",
        "dptstream/polarity": quantity.polarity,
        "dptstream/intrinsicsOrigin": intrinsics.origin,
    }
    for key in ("name", "license", "sha256"):
        if model.get(key):
            header[f"dptstream/model/{key}"] = str(model[key])
    if rate:
        header["framesPerSecond"] = rate.limit_denominator(100_000)
    return header


def frame_header(
    number: int, pts: int, time_base: Fraction, value_range: tuple[float, float] | None, camera: Intrinsics
) -> dict[str, object]:
    """Return the header attributes of one frame; ``camera`` is for this frame's size."""
    header: dict[str, object] = {
        "imageCounter": number,
        # A string, for the format has no 64-bit integer and ticks overflow 32 bits within a day at 90 kHz.
        "dptstream/pts": str(pts),
        "dptstream/timeBase": f"{time_base.numerator}/{time_base.denominator}",
        "dptstream/ptsSeconds": float(pts * time_base),
        "dptstream/intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
    }
    if value_range:
        header["dptstream/minimum"], header["dptstream/maximum"] = value_range
    return header


def time_code(seconds: Fraction, rate: Fraction | None) -> dict[str, object]:
    """Return the ``timeCode`` attribute (SMPTE, non-drop) of a moment; nothing where it cannot hold it."""
    day = 24 * 3600
    if rate is None or not 0 < rate <= 60 or not 0 <= seconds < day:
        return {}
    whole, frame = int(seconds), int(seconds % 1 * rate)
    no_flags_nor_user_data = (0,) * 14
    return {"timeCode": OpenEXR.TimeCode(whole // 3600, whole // 60 % 60, whole % 60, frame, *no_flags_nor_user_data)}
