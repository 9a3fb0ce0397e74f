"""Messages of the computed film, whose every depth is known exactly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dptstream.geometry import DepthKind
from dptstream.sources.synthetic import SyntheticSettings, SyntheticSource
from dptstream.wire import DepthPlane, FrameMessage, RawColor
from tests.wire.making import make_frame

WIDTH, HEIGHT = 96, 54
STREET_WH = 192, 108


def film(**settings: Any) -> SyntheticSource:
    """Return a small film; its camera sees 75 degrees, which nobody would assume."""
    return SyntheticSource(SyntheticSettings(**({"width": WIDTH, "height": HEIGHT, "fov_x_deg": 75.0} | settings)))


def filmed(number: int = 0, *, source: SyntheticSource | None = None, **changes: Any) -> FrameMessage:
    """Return a message with exact metric depth and picture of one frame."""
    source = source or film()
    depth = source.truth(number).depth
    frames = iter(source)
    picture = [next(frames).image for _ in range(number + 1)][-1]
    assert source.info.intrinsics is not None
    defaults: dict[str, Any] = {
        "sequence": number,
        "intrinsics": source.info.intrinsics,
        "depth": DepthPlane(depth, DepthKind.METRIC, *spread(depth)),
        "color": RawColor(picture),
    }
    return make_frame(**(defaults | changes))


def relative_inverse(depth: NDArray[np.float32], scale: float = 7.0, shift: float = -0.3) -> DepthPlane:
    """Return what a network of unknown scale and shift would say of ``depth``; its range is exact."""
    values = (scale / depth + shift).astype(np.float32)
    return DepthPlane(values, DepthKind.RELATIVE_INVERSE, *spread(values))


def spread(values: NDArray[np.float32]) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def exact_points(depth: NDArray[np.float32], fov_x_deg: float = 75.0) -> NDArray[np.float64]:
    """Return (H, W, 3) points in OpenCV's axes, worked out pixel by pixel from the angle of view alone."""
    height, width = depth.shape
    tangent = np.tan(np.radians(fov_x_deg) / 2)
    points = np.empty((height, width, 3))
    for row in range(height):
        for column in range(width):
            x = (column + 0.5 - width / 2) / (width / 2) * tangent
            y = (row + 0.5 - height / 2) / (width / 2) * tangent
            points[row, column] = np.array([x, y, 1.0]) * float(depth[row, column])
    return points


def street(*, box: bool = False) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return (H, W) distances and what is seen: a floor and walls at grazing angles up to an end wall, and maybe a box."""
    width, height = STREET_WH
    x = ((np.arange(width) + 0.5) / width - 0.5)[None] * 1.2
    y = ((np.arange(height) + 0.5) / width - height / width / 2)[:, None] * 1.2
    inverse = [y / 0.4 + 0 * x, -x / 0.7 + 0 * y, x / 0.7 + 0 * y, np.full((height, width), 1 / 30)]
    if box:
        face = (np.abs(x - 0.1) < 0.09) & (np.abs(y + 0.02) < 0.1)
        inverse.append(np.where(face, 1 / 2.5, -1.0))
    stacked = np.stack(inverse)
    return (1 / stacked.max(axis=0)).astype(np.float32), stacked.argmax(axis=0)
