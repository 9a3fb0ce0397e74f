"""What the numbers in the files mean: depth or its inverse, with a unit or without. Knows no file format."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import DepthKind
from .options import Encoding


@dataclass(frozen=True, slots=True)
class Quantity:
    """One meaning that written values may have."""

    name: str
    """``depth``, ``relative_depth`` or ``inverse_depth``; also the EXR channel where that is not ``Z``."""
    unit: str | None
    """``m``, ``1/m``, or None where the scale is unknown."""
    larger_is_nearer: bool
    """Polarity of the values."""
    inverted: bool
    """Whether values are the inverse of what the model gave."""

    @classmethod
    def of(cls, kind: DepthKind, encode: Encoding) -> "Quantity":
        """Return what is written for a model that gives ``kind``."""
        if kind is DepthKind.RELATIVE_INVERSE:
            return cls("inverse_depth", None, larger_is_nearer=True, inverted=False)
        metric = kind is DepthKind.METRIC
        if encode == "inverse":
            return cls("inverse_depth", "1/m" if metric else None, larger_is_nearer=True, inverted=True)
        return cls("depth" if metric else "relative_depth", kind.unit, larger_is_nearer=False, inverted=False)

    @property
    def in_millimetres(self) -> bool:
        """Whether integer formats hold millimetres, and so need no range."""
        return self.unit == "m"

    @property
    def polarity(self) -> str:
        """The polarity in words, for records."""
        return "larger is nearer" if self.larger_is_nearer else "larger is farther"

    def encode(self, depth_hw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values to write for the model's ``depth_hw``; what has no inverse becomes NaN."""
        if not self.inverted:
            return depth_hw
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(depth_hw > 0, np.float32(1) / depth_hw, np.float32(np.nan))
