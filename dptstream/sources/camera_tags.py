"""The camera's focal length, from the tags that cameras and phones leave in their files."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from ..geometry import Intrinsics
from .orientation import Orientation

_FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)
_MM_PER_RESOLUTION_UNIT = {
    2: 25.4,
    3: 10.0,
    4: 1.0,
}  # EXIF: inch, centimetre; 4 (millimetre) is in use though no standard
_PLAUSIBLE_FOCAL_PER_SIDE = (0.2, 40.0)  # from a fisheye to a 1400 mm lens, in lengths of the longer side


def intrinsics_of_video(tags: Mapping[str, str], width: int, height: int) -> Intrinsics | None:
    """Read QuickTime's focal length (in 35 mm terms) from a container's or stream's tags, if it is there."""
    for key, value in tags.items():
        if key.lower().endswith("focal_length.35mm_equivalent"):
            return _from_full_frame_mm(_number(value), width, height)
    return None


def read_picture_tags(path: Path) -> tuple[Orientation, Mapping[int, object]]:
    """Read a picture's orientation and its EXIF camera tags; upright and empty where it has none."""
    try:
        # Pillow warns of large pictures and of small faults in tags; neither matters for reading the tags.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            exif = image.getexif()
            orientation = exif.get(ExifTags.Base.Orientation, 1)
            return Orientation.from_exif(int(orientation)), dict(exif.get_ifd(ExifTags.IFD.Exif))
    except (UnidentifiedImageError, OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        # Pillow does not know the format (EXR, DPX), or the tags are damaged: the picture may still be fine.
        return Orientation(), {}


def intrinsics_of_picture(tags: Mapping[int, object], width: int, height: int) -> Intrinsics | None:
    """Derive the camera from EXIF tags: the focal plane's resolution where stated, else the 35 mm equivalent."""
    focal_mm = _number(tags.get(ExifTags.Base.FocalLength))
    per_unit = _number(tags.get(ExifTags.Base.FocalPlaneXResolution))
    unit_mm = _MM_PER_RESOLUTION_UNIT.get(int(_number(tags.get(ExifTags.Base.FocalPlaneResolutionUnit)) or 2))
    if focal_mm and per_unit and unit_mm:
        longer = max(width, height)
        taken = max(_number(tags.get(tag)) for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight))
        focal_px = focal_mm * per_unit / unit_mm * (longer / taken if taken else 1)
        low, high = _PLAUSIBLE_FOCAL_PER_SIDE
        if low * longer < focal_px < high * longer:
            return Intrinsics.from_focal_px(focal_px, width, height, origin="file")
    return _from_full_frame_mm(_number(tags.get(ExifTags.Base.FocalLengthIn35mmFilm)), width, height)


def _from_full_frame_mm(focal_mm: float, width: int, height: int) -> Intrinsics | None:
    if not 1 < focal_mm < 5000:
        return None
    # CIPA DCG-001 compares angles of view over the diagonal.
    focal_px = focal_mm / _FULL_FRAME_DIAGONAL_MM * math.hypot(width, height)
    return Intrinsics.from_focal_px(focal_px, width, height, origin="file")


def _number(value: object) -> float:
    """Return a tag's value, or 0 where it is absent, no number, or infinite (EXIF's 0/0 and 1/0)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0
