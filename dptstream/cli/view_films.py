"""Films of what a viewer shows: H.264 through PyAV, or through OpenCV where that is missing."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, SinkError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..viewer.window import VideoWriter


_END_SECONDS = 60.0
"""How long a recording may take to be finished, before it is ended by force."""


def open_film(path: Path, fps: int) -> "VideoWriter":
    """Open a film; its size is that of its first picture.

    Raises:
        MissingExtraError: Neither PyAV nor OpenCV is installed.
    """
    try:
        import av  # noqa: F401
    except ImportError:
        pass
    else:
        return PyAvFilm(path, fps)
    try:
        import cv2  # noqa: F401
    except ImportError:
        raise MissingExtraError("a film needs an encoder: pip install av") from None
    return OpenCvFilm(path, fps)


def can_film() -> bool:
    """Return whether there is an encoder."""
    return any(importlib.util.find_spec(name) is not None for name in ("av", "cv2"))


def recorder(endpoint: str, curve: Path | None) -> "Callable[[Path], Callable[[], None]] | None":
    """Return what begins to record a feed by a `dptstream record` of its own, and gives what ends that; None without it."""
    if any(importlib.util.find_spec(name) is None for name in ("av", "torch")):
        return None

    def begin(path: Path) -> Callable[[], None]:
        keys = [] if curve is None else ["--curve", str(curve)]
        words = [sys.executable, "-m", "dptstream", "record", endpoint, "-o", str(path), "--timeout", "0", *keys]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

        def end() -> None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        return end

    return begin


class PyAvFilm:
    """H.264 in MP4, which everything plays. The file appears when it is complete."""

    def __init__(self, path: Path, fps: int) -> None:
        self._path, self._fps = path, fps
        self._part = path.with_name(f"{path.name}.part")
        self._container: Any = None
        self._stream: Any = None

    def write(self, image_hwc: "NDArray[np.uint8]") -> None:
        """Add a picture, (H, W, 3) RGB; raises SinkError."""
        import av

        image = even_sized(image_hwc)
        try:
            if self._container is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
                self._stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": "20"})
                self._stream.height, self._stream.width = image.shape[:2]
                self._stream.pix_fmt = "yuv420p"
            self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        except (OSError, av.FFmpegError) as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror or error}") from None

    def close(self) -> None:
        """Finish the file; may be called twice."""
        container, self._container = self._container, None
        if container is None:
            return
        import av

        try:
            container.mux(self._stream.encode(None))
            container.close()
            self._part.replace(self._path)
        except (OSError, av.FFmpegError) as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror or error}") from None


class OpenCvFilm:
    """MPEG-4 in MP4, for machines without PyAV."""

    def __init__(self, path: Path, fps: int) -> None:
        self._path, self._fps = path, fps
        self._writer: Any = None

    def write(self, image_hwc: "NDArray[np.uint8]") -> None:
        """Add a picture, (H, W, 3) RGB; raises SinkError."""
        import cv2

        image = even_sized(image_hwc)
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            size_wh = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, size_wh)
            if not self._writer.isOpened():
                raise SinkError(f"cannot write {self._path}: OpenCV has no encoder for it here; pip install av")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file; may be called twice."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.release()


def even_sized(image_hwc: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Cut off the last row or column where a side is odd: shared chroma needs even sides."""
    height, width = image_hwc.shape[:2]
    return image_hwc[: height - height % 2, : width - width % 2].copy()
