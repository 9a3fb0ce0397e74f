"""The inside of a camera: focal lengths and principal point, in pixels."""

import math
from dataclasses import dataclass, replace
from typing import Literal

IntrinsicsOrigin = Literal["user", "file", "model", "default"]

DEFAULT_FOV_X_DEG = 60.0
"""Horizontal field of view assumed where nobody knows better (a 31 mm lens on full frame)."""

FULL_FRAME_WIDTH_MM = 36.0
"""Sensor width that focal lengths in millimetres refer to unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole camera in the OpenCV convention: x right, y down, z forward.

    Pixel (0, 0) is the top left corner of the top left pixel, so the centre of an undistorted
    picture is (width / 2, height / 2).
    """

    fx: float
    """Focal length along x, pixels, > 0."""
    fy: float
    """Focal length along y, pixels, > 0."""
    cx: float
    """Principal point, pixels from the left edge."""
    cy: float
    """Principal point, pixels from the top edge."""
    width: int
    """Width of the picture these numbers belong to, pixels."""
    height: int
    """Height of the picture these numbers belong to, pixels."""
    origin: IntrinsicsOrigin = "user"
    """Where the numbers come from; ``default`` means that nobody knew."""

    def __post_init__(self) -> None:
        if not (self.fx > 0 and self.fy > 0 and self.width > 0 and self.height > 0):
            raise ValueError(
                f"intrinsics need positive focal lengths and size; got fx={self.fx}, fy={self.fy}, "
                f"{self.width}x{self.height}"
            )

    @classmethod
    def from_focal_px(
        cls, focal_px: float, width: int, height: int, *, origin: IntrinsicsOrigin = "user"
    ) -> "Intrinsics":
        """Make a camera with square pixels and a centred principal point from a focal length in pixels."""
        return cls(focal_px, focal_px, width / 2, height / 2, width, height, origin)

    @classmethod
    def from_fov_x(
        cls, fov_x_rad: float, width: int, height: int, *, origin: IntrinsicsOrigin = "user"
    ) -> "Intrinsics":
        """Make a camera from its horizontal field of view in radians, in (0, pi)."""
        if not 0 < fov_x_rad < math.pi:
            raise ValueError(f"field of view must lie between 0 and 180 degrees; got {math.degrees(fov_x_rad):g}")
        return cls.from_focal_px(width / 2 / math.tan(fov_x_rad / 2), width, height, origin=origin)

    @classmethod
    def from_focal_mm(
        cls, focal_mm: float, sensor_width_mm: float, width: int, height: int, *, origin: IntrinsicsOrigin = "user"
    ) -> "Intrinsics":
        """Make a camera from a focal length and sensor width, both in millimetres."""
        if not (focal_mm > 0 and sensor_width_mm > 0):
            raise ValueError(f"focal length and sensor width must be positive; got {focal_mm} mm, {sensor_width_mm} mm")
        return cls.from_focal_px(focal_mm / sensor_width_mm * width, width, height, origin=origin)

    @classmethod
    def default(cls, width: int, height: int) -> "Intrinsics":
        """Make the camera that is assumed where nothing is known: 60 degrees across."""
        return cls.from_fov_x(math.radians(DEFAULT_FOV_X_DEG), width, height, origin="default")

    @property
    def fov_x_rad(self) -> float:
        """Horizontal field of view, radians."""
        return 2 * math.atan(self.width / 2 / self.fx)

    @property
    def focal_mm(self) -> float:
        """Focal length on a full-frame sensor (36 mm wide), millimetres."""
        return self.fx / self.width * FULL_FRAME_WIDTH_MM

    def scaled_to(self, width: int, height: int) -> "Intrinsics":
        """Return the same camera for a picture resized to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy, width=width, height=height
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> "Intrinsics":
        """Return the camera of the window ``width`` x ``height`` whose corner is at (x, y)."""
        return replace(self, cx=self.cx - x, cy=self.cy - y, width=width, height=height)
