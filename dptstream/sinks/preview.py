"""Depth as a picture for eyes: near bright, in perceptual colours. Opens no file."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .options import ColorMap

_COLOR_MAPS: dict[ColorMap, int] = {
    "turbo": cv2.COLORMAP_TURBO,
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "plasma": cv2.COLORMAP_PLASMA,
    "cividis": cv2.COLORMAP_CIVIDIS,
}


def paint(shade_hw: NDArray[np.float32], color_map: ColorMap) -> NDArray[np.uint8]:
    """Return ``shade_hw``, 0 to 1, in colours: (H, W, 3) RGB."""
    levels = np.rint(shade_hw * 255).astype(np.uint8)
    if color_map == "gray":
        return np.repeat(levels[..., None], 3, axis=2)
    colored = cv2.applyColorMap(levels, _COLOR_MAPS[color_map])
    return np.asarray(cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), np.uint8)


def even_sized(image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row or column where a side is odd: H.264 with shared chroma needs even sides."""
    height, width = image_hwc.shape[:2]
    return np.pad(image_hwc, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def fit(image_hwc: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch a picture to ``size_hw`` where it has another size."""
    height, width = size_hw
    if image_hwc.shape[:2] == (height, width):
        return image_hwc
    return np.asarray(cv2.resize(image_hwc, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def pack_picture(image_hwc: NDArray[np.uint8], *, lossless: bool) -> NDArray[np.uint8]:
    """Return ``image_hwc`` as the bytes of a JPEG, or of a PNG, to keep until its shot ends."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image_hwc), cv2.COLOR_RGB2BGR)
    suffix, settings = (
        (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95])
    )
    return cv2.imencode(suffix, bgr, settings)[1].reshape(-1)


def unpack_picture(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture that ``pack_picture`` packed: (H, W, 3) RGB."""
    bgr = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("not a packed picture")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
