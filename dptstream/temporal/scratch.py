"""Pairs of planes in a file that is gone when it is closed."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


class PlaneScratch:
    """Pairs of (h, w) planes of one size, written and read by number.

    Args:
        folder: Where the file lies; None is the system's folder for such files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="dptstream-", dir=folder)  # noqa: SIM115 - closed by close
        self._size_hw = (0, 0)

    def write(self, index: int, first: Float, second: Float) -> None:
        """Keep a pair under ``index``."""
        self._size_hw = first.shape[0], first.shape[1]
        self._file.seek(index * self._pair_bytes)
        for plane in (first, second):
            self._file.write(np.ascontiguousarray(plane, np.float32).tobytes())

    def read(self, index: int) -> tuple[Float, Float]:
        """Return the pair kept under ``index``."""
        self._file.seek(index * self._pair_bytes)
        both = np.frombuffer(self._file.read(self._pair_bytes), np.float32).reshape(2, *self._size_hw)
        return both[0], both[1]

    def close(self) -> None:
        """Remove the file; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the scratch."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file."""
        self.close()

    @property
    def _pair_bytes(self) -> int:
        return 8 * self._size_hw[0] * self._size_hw[1]
