"""Where pictures come from."""

from .base import Source, SourceInfo, SourceStats
from .locations import LocationKind, expand_location, kind_of
from .options import Crop, SourceOptions, Time, parse_crop, parse_time

__all__ = [
    "Crop",
    "Source",
    "SourceInfo",
    "SourceOptions",
    "SourceStats",
    "Time",
    "expand_location",
    "open_source",
    "parse_crop",
    "parse_time",
]


def open_source(location: str, options: SourceOptions | None = None) -> Source:
    """Open anything that gives pictures.

    Args:
        location: A video file, an address (``https://``, ``rtsp://``, ...), a camera (``/dev/video0``,
            ``camera:0``), a numbered pattern (``shot/%05d.png``), a glob, a folder of pictures, a single
            picture, or ``synthetic:`` with its settings.
        options: Which part is wanted; everything by default.

    Raises:
        SourceError: It does not exist, cannot be read, or holds no picture.
        ValueError: The settings after ``synthetic:`` cannot be read.
    """
    options = options or SourceOptions()
    kind = kind_of(location)
    if kind is LocationKind.SYNTHETIC:
        from .synthetic import SyntheticSource

        return SyntheticSource.from_location(location, options)
    if kind in (LocationKind.PATTERN, LocationKind.GLOB, LocationKind.FOLDER, LocationKind.PICTURE):
        from .pictures import PictureSource

        return PictureSource(location, options)
    from .pyav import PyAvSource

    return PyAvSource(location, options)
