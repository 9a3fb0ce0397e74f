"""Makes colours of decoded JPEGs in a thread of its own, one picture at a time. Knows no ``bpy``."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .pictures import Picture, developed


class Darkroom:
    """Takes one picture at a time, and gives it back with its colours."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "dptstream-colors")
        self._picture: Future[Picture] | None = None

    @property
    def busy(self) -> bool:
        """Whether a picture is in it, perhaps ready to be taken."""
        return self._picture is not None

    def put(self, picture: Picture, pixels: NDArray[np.float32]) -> None:
        """Have ``developed`` make colours of ``pixels``, which must be left alone until the picture is taken."""
        assert self._picture is None, "one picture at a time"
        self._picture = self._thread.submit(developed, picture, pixels)

    def take(self) -> Picture | None:
        """Return the picture once it is ready; never waits. Raises what making its colours raised."""
        waiting = self._picture
        if waiting is None or not waiting.done():
            return None
        self._picture = None
        return waiting.result()

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._thread.shutdown()
