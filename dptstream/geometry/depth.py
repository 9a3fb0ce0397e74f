"""What the numbers of a depth map mean."""

from enum import Enum


class DepthKind(Enum):
    """The three things a depth network may give. They are never converted silently."""

    RELATIVE_INVERSE = "relative_inverse"
    """Inverse depth up to an unknown scale and shift; larger is nearer; no unit."""
    RELATIVE = "relative"
    """Depth up to an unknown scale; larger is farther; no unit (Depth Anything V3 mono)."""
    METRIC = "metric"
    """Depth along the optical axis in metres; larger is farther."""

    @property
    def unit(self) -> str | None:
        """``"m"`` for metric depth, None for the relative kinds."""
        return "m" if self is DepthKind.METRIC else None

    @property
    def larger_is_nearer(self) -> bool:
        """Polarity: whether larger values lie nearer to the camera."""
        return self is DepthKind.RELATIVE_INVERSE
