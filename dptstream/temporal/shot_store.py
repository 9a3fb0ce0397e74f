"""Keeps the raw depth of one shot in a scratch file, to be read in any order. Memory does not grow with the shot."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame
from ..geometry import DepthKind
from .filter import gap_between
from .motion import Grey, thumbnail


class RawShot(Protocol):
    """The frames of one shot as the network gave them, by number."""

    def __len__(self) -> int:
        """Return how many frames there are."""

    @property
    def kind(self) -> DepthKind:
        """What the depth means."""

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return a frame's depth, (h, w); always of one size."""

    def thumbnail(self, index: int) -> Grey:
        """Return the frame's picture, small and grey (see ``motion.thumbnail``)."""

    def pts_seconds(self, index: int) -> float:
        """Return the frame's time."""


class ShotStore:
    """A ``RawShot`` that is filled frame by frame; the scratch file is gone when it is closed.

    Args:
        folder: Where the scratch file lies; None is the system's folder for such files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="dptstream-", dir=folder)  # noqa: SIM115 - closed by close
        self._times: list[float] = []
        self._kind = DepthKind.RELATIVE_INVERSE
        self._depth_hw = self._small_hw = (0, 0)

    def accepts(self, frame: DepthFrame) -> bool:
        """Return whether ``frame`` continues the shot; where not, the shot ends before it."""
        if not self._times:
            return True
        video = frame.video
        new_shot = frame.scene_cut or video.discontinuity or gap_between(self._times[-1], video.pts_seconds)
        return not new_shot and frame.depth.shape == self._depth_hw and frame.kind is self._kind

    def append(self, frame: DepthFrame) -> None:
        """Add the shot's next frame; raises ValueError where it does not continue the shot."""
        if not self.accepts(frame):
            raise ValueError(f"{frame!r} does not continue the shot of {len(self)} frames; take a store of its own")
        small = thumbnail(frame.video.image)
        if not self._times:
            self._kind, self._depth_hw, self._small_hw = frame.kind, frame.depth.shape, small.shape
        self._file.seek(len(self) * self._frame_bytes)
        self._file.write(np.ascontiguousarray(frame.depth, np.float32).tobytes())
        self._file.write(small.tobytes())
        self._times.append(frame.video.pts_seconds)

    def __len__(self) -> int:
        """Return how many frames there are."""
        return len(self._times)

    @property
    def kind(self) -> DepthKind:
        """What the depth means."""
        return self._kind

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return a frame's depth, (h, w)."""
        return np.frombuffer(self._read(index, 0, self._depth_bytes), np.float32).reshape(self._depth_hw)

    def thumbnail(self, index: int) -> Grey:
        """Return the frame's picture, small and grey."""
        size = self._frame_bytes - self._depth_bytes
        return np.frombuffer(self._read(index, self._depth_bytes, size), np.uint8).reshape(self._small_hw)

    def pts_seconds(self, index: int) -> float:
        """Return the frame's time."""
        return self._times[index]

    def close(self) -> None:
        """Remove the scratch file; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the scratch file."""
        self.close()

    @property
    def _depth_bytes(self) -> int:
        return 4 * self._depth_hw[0] * self._depth_hw[1]

    @property
    def _frame_bytes(self) -> int:
        return self._depth_bytes + self._small_hw[0] * self._small_hw[1]

    def _read(self, index: int, offset: int, size: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(f"no frame {index} in a shot of {len(self)}")
        self._file.seek(index * self._frame_bytes + offset)
        return self._file.read(size)
