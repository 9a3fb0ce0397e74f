"""How values become 16-bit codes and brightness over a run of frames. Opens no file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import SinkError
from .options import RangePolicy
from .quantity import Quantity

INVALID_CODE = 0
"""Code of a pixel without a value."""
LAST_CODE = 65535
PERCENTILES = (1.0, 99.0)
"""Share of the values, in per cent, that the preview leaves to either side of its range."""
_SAMPLES_PER_FRAME = 4096
_TINY = float(np.finfo(np.float32).tiny)
_SMALLEST_SHARE = 1e-3
"""A preview of depths begins at this share of its far end at the nearest: brightness goes with 1/depth."""


@dataclass(frozen=True, slots=True)
class Codes:
    """``value = offset + scale * code`` for codes 1 to 65535; code 0 is a pixel without a value."""

    scale: float
    """Value of one step; negative where codes run against the values."""
    offset: float
    """Value of code 0, if it were one."""

    @classmethod
    def millimetres(cls) -> Self:
        """Return the codes of metric depth: whole millimetres, up to 65.535 m."""
        return cls(0.001, 0.0)

    @classmethod
    def spanning(cls, low: float, high: float, *, invert: bool) -> Self:
        """Return codes that give ``low`` to ``high`` the codes 1 to 65535, or 65535 to 1."""
        step = ((high - low) or 1.0) / (LAST_CODE - 1)
        return cls(-step, high + step) if invert else cls(step, low - step)

    def encode(self, values_hw: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the codes of ``values_hw``; values beyond the last code are held there."""
        codes = np.rint((values_hw - np.float32(self.offset)) / np.float32(self.scale))
        valid = np.isfinite(values_hw)
        if self == Codes.millimetres():
            valid &= values_hw > 0
        held = np.clip(np.nan_to_num(codes, nan=0.0), 1, LAST_CODE)
        return np.where(valid, held, INVALID_CODE).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the frames ``first`` to ``end`` are mapped."""

    first: int
    """Sequence of the first frame."""
    end: int
    """Sequence after the last frame."""
    codes: Codes
    """For png16 and ffv1."""
    low: float
    """Smallest value that the preview and the points tell apart."""
    high: float
    """Largest value that the preview and the points tell apart."""

    def record(self) -> dict[str, object]:
        """Return this mapping as JSON values."""
        return {
            "first": self.first,
            "end": self.end,
            "codes": {"scale": self.codes.scale, "offset": self.codes.offset, "invalid": INVALID_CODE},
            "display": {"low": self.low, "high": self.high},
        }

    @classmethod
    def from_record(cls, record: dict[str, object]) -> Self:
        """Return the mapping that ``record`` was made from."""
        codes, display = record["codes"], record["display"]
        if not (isinstance(codes, dict) and isinstance(display, dict)):
            raise TypeError(f"not the record of a mapping: {record!r}")
        return cls(
            int(str(record["first"])),
            int(str(record["end"])),
            Codes(codes["scale"], codes["offset"]),
            display["low"],
            display["high"],
        )


def fixed_range(policy: RangePolicy, quantity: Quantity) -> tuple[float, float] | None:
    """Return the user's own range in written values, or None where it is taken from the frames."""
    if not isinstance(policy, tuple):
        return None
    low, high = policy
    if low <= 0 and (quantity.inverted or not quantity.larger_is_nearer):
        raise SinkError(f"a range of depths must begin above 0, for it is drawn by its inverse; got {low:g},{high:g}")
    return (1 / high, 1 / low) if quantity.inverted else (low, high)


def sample(values_hw: NDArray[np.float32], quantity: Quantity) -> NDArray[np.float32]:
    """Return a few thousand valid values spread evenly over a map; the same ones each time."""
    flat = values_hw.reshape(-1)
    # The step shares no small factor with usual widths, so samples do not line up in columns.
    picked = flat[:: max(1, flat.size // _SAMPLES_PER_FRAME) | 1]
    valid = np.isfinite(picked) if quantity.larger_is_nearer else np.isfinite(picked) & (picked > 0)
    return picked[valid]


def display_range(samples: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the robust range of sampled values; (0, 1) where there are none."""
    values = np.concatenate([np.empty(0, np.float32), *samples])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def nearness(values_hw: NDArray[np.float32], low: float, high: float, *, larger_is_nearer: bool) -> NDArray[np.float32]:
    """Return 0 (far end of the range, or no value) to 1 (near end), linear in inverse depth."""
    if larger_is_nearer:
        far, near, inverse = low, high, values_hw
    else:
        low = max(low, high * _SMALLEST_SHARE, _TINY)
        far, near = 1 / max(high, low), 1 / low
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(values_hw > 0, 1 / values_hw, np.float32(far))
    span = (near - far) or 1.0
    shade = np.nan_to_num((inverse - np.float32(far)) / np.float32(span), nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.clip(shade, 0.0, 1.0), np.float32)
