"""What smooths depth in time. Knows no network and no format."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame
from .state import FilterState


class TemporalFilter(Protocol):
    """Smooths the depth of any number of feeds; what it remembers of each is a state that the caller keeps."""

    def step(self, frame: DepthFrame, state: FilterState | None) -> tuple[NDArray[np.float32], FilterState | None]:
        """Return the smoothed depth of ``frame``, (h, w) in its own unit, and the state to give with the next frame.

        Args:
            frame: The feed's next frame, in order of time.
            state: What came with the frame before; None at the start, or to begin anew.
        """
