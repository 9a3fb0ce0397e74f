"""Scores flicker without ground truth: how much depth changes where the picture stands still."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..frames import DepthFrame
from .filter import to_work
from .motion import Grey, thumbnail
from .planes import NumpyOps

_WINDOW = 7
"""Stillness is judged on this many pixels a side, of a picture 256 wide."""
_LEAST_STILL = 0.05
"""Below this share of still pixels where there is texture, the camera moves and flat areas prove nothing."""


def still_pixels(before: Grey, now: Grey) -> NDArray[np.bool_]:
    """Return where nothing but noise changed between two ``thumbnail`` pictures, (h, w)."""
    noise = _noise(now)
    change = cv2.absdiff(cv2.blur(before, (3, 3)), cv2.blur(now, (3, 3))).astype(np.float32)
    # Blurred noise differs by 0.4 of its deviation on average; twice that is allowed.
    still = cv2.blur(change, (_WINDOW, _WINDOW)) < min(max(1.0, 0.8 * noise), 3.0)
    gradient = cv2.absdiff(now, cv2.blur(now, (_WINDOW, _WINDOW))).astype(np.float32)
    textured = cv2.blur(gradient, (_WINDOW, _WINDOW)) > 2 + noise
    if textured.any() and np.count_nonzero(still & textured) < _LEAST_STILL * np.count_nonzero(textured):
        return np.zeros(now.shape, bool)
    return np.asarray(still)


def _noise(grey: Grey) -> float:
    """Estimate the standard deviation of a picture's noise (Immerkaer 1996, with a median against texture)."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, mask)[::2, ::2])
    return float(1.48 * np.median(response) / 6)


@dataclass(frozen=True, slots=True)
class FlickerScore:
    """How much the depth of still things changes from one frame to the next, as a share of the picture's range."""

    before: float | None
    """Of the network's own depth; None where nothing stood still."""
    after: float | None
    """Of the smoothed depth."""
    still_share: float
    """Share of all pixels that stood still and were judged."""

    @property
    def reduction(self) -> float | None:
        """Share of the flicker that smoothing removed; None where there was none to remove."""
        if not self.before or self.after is None:
            return None
        return 1 - self.after / self.before


class FlickerMeter:
    """Compares flicker before and after smoothing while frames go by; less than a millisecond a frame."""

    def __init__(self) -> None:
        self._last: tuple[Grey, NDArray[np.float32]] | None = None
        self._sums = np.zeros(2)
        self._still, self._judged = 0, 0

    def step(self, frame: DepthFrame, smoothed: NDArray[np.float32] | None = None) -> None:
        """Take a frame with the network's own depth, and the same frame's smoothed depth where there is one."""
        grey = thumbnail(frame.video.image)
        maps = [frame.depth, frame.depth if smoothed is None else smoothed]
        size_wh = (grey.shape[1], grey.shape[0])
        with np.errstate(all="ignore"):
            pair = np.stack(
                [
                    to_work(NumpyOps(), cv2.resize(depth, size_wh, interpolation=cv2.INTER_NEAREST), frame.kind)
                    for depth in maps
                ]
            )
        last, self._last = self._last, (grey, pair)
        if last is None or frame.scene_cut or frame.video.discontinuity or last[0].shape != grey.shape:
            return
        known = np.isfinite(pair).all(0) & np.isfinite(last[1]).all(0)
        if not known.any():
            return
        judged = still_pixels(last[0], grey) & known
        low, high = np.percentile(pair[0][known][::4], (2, 98))
        self._judged += grey.size
        if judged.any() and high > low:
            self._still += int(np.count_nonzero(judged))
            self._sums += np.abs(pair - last[1])[:, judged].sum(1, dtype=np.float64) / (high - low)

    def snapshot(self) -> bytes:
        """Return what the meter has seen as bytes: an uncompressed npz."""
        arrays: dict[str, NDArray[Any]] = {"sums": self._sums, "counts": np.array([self._still, self._judged])}
        if self._last is not None:
            arrays |= {"grey": self._last[0], "pair": self._last[1]}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def restore(cls, blob: bytes) -> Self:
        """Return the meter that ``snapshot`` wrote; raises ValueError where the bytes are no such thing."""
        meter = cls()
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as file:
                meter._sums = file["sums"]
                meter._still, meter._judged = file["counts"].tolist()
                meter._last = (file["grey"], file["pair"]) if "grey" in file.files else None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"these {len(blob)} bytes are no state of a flicker meter: {error}") from error
        return meter

    @property
    def score(self) -> FlickerScore:
        """The score of all frames so far."""
        if not self._still:
            return FlickerScore(None, None, 0.0)
        before, after = (self._sums / self._still).tolist()
        return FlickerScore(before, after, self._still / self._judged)
