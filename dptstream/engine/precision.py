"""Half precision without its risk: depth that overflowed is computed again in float32, and so is all that follows."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.base import DepthModel
from .backend import RECORDING, on_own_stream
from .notes import Notes
from .slots import Slot
from .stages import again

HALF_PRECISION = (torch.float16, torch.bfloat16)


@runtime_checkable
class Convertible(Protocol):
    """A model that can be had in another precision."""

    def with_dtype(self, dtype: torch.dtype) -> DepthModel:
        """Return the same network with weights of another precision; the model itself stays."""


class Safeguard:
    """Looks at every depth map of a network in half precision; costs a tenth of a millisecond a frame, on the host.

    float16 holds values up to 65504; what grows larger inside a network becomes infinite, and soon no number at all.

    Args:
        model: The network of the run.
        size: The size it works at; None is the family's own.
        notes: Told of what was computed again.
        on_change: Called once, with the network that is to be used from now on.
    """

    def __init__(
        self, model: DepthModel, size: int | None, notes: Notes, on_change: Callable[[DepthModel], None]
    ) -> None:
        self._model, self._size, self._notes, self._on_change = model, size, notes, on_change
        self._watches = model.dtype in HALF_PRECISION and isinstance(model, Convertible) and not model.info.temporal
        self._precise: DepthModel | None = None

    def sound(self, slot: Slot, depths_nhw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the maps of a slot whose download was waited for, computed again where they hold what is no number."""
        rounded = slot.host_output.dtype is torch.float16
        if not (self._watches or rounded) or np.isfinite(depths_nhw[0]).all():
            return depths_nhw
        # Copies to pageable memory wait, which a recording in another thread might not survive.
        with RECORDING, on_own_stream(self._model.device):
            first, precise = self._precise is None, self._precise_model()
            # Feeds that share a network do so on one stream, and this is another: past their queue, then.
            depth_hw = again(slot, getattr(precise, "model", precise), size=self._size)
        if first:
            self._on_change(precise)  # whose weights are there by now, as its depth was waited for
        self._watches &= bool(np.isfinite(depth_hw).all())  # else the network itself gives such values
        self._notes.add(
            f"depth overflowed in {str(self._model.dtype).removeprefix('torch.')}: computed again in float32"
        )
        smoothed = [np.where(np.isfinite(map_hw), map_hw, depth_hw) for map_hw in depths_nhw[1:]]
        return np.stack([depth_hw, *smoothed])

    def _precise_model(self) -> DepthModel:
        if self._precise is None:
            model = self._model
            self._precise = (
                model.with_dtype(torch.float32) if self._watches and isinstance(model, Convertible) else model
            )
        return self._precise
