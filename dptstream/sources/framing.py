"""Cutting the wanted window out of upright pictures."""

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..geometry import Intrinsics
from .options import Crop


def crop_image(image: NDArray[np.uint8], crop: Crop | None, location: str) -> NDArray[np.uint8]:
    """Return the window of a picture as a view; the picture itself where no crop is asked for."""
    if crop is None:
        return image
    require_fit(crop, image.shape[1], image.shape[0], location)
    return image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def crop_intrinsics(intrinsics: Intrinsics | None, crop: Crop | None) -> Intrinsics | None:
    """Return the camera of the window; None where the camera is unknown."""
    if intrinsics is None or crop is None:
        return intrinsics
    return intrinsics.cropped(crop.x, crop.y, crop.width, crop.height)


def require_fit(crop: Crop, width: int, height: int, location: str) -> None:
    """Raise SourceError unless the window lies within a picture of ``width`` x ``height``."""
    if not crop.fits(width, height):
        raise SourceError(f"{location}: the crop {crop} does not fit into a picture of {width}x{height}")
