"""Finds hard cuts as frames go by, without looking ahead. Knows no video format.

Two frames belong to one shot when the earlier one, moved along the optical flow, explains the later
one. Dense inverse search flow: Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 256
_HEIGHTS = (16, 512)
"""Working size, pixels; very flat or tall pictures are squeezed into it."""
_RESIDUAL, _SURE_RESIDUAL = 18.0, 30.0
"""Median difference left after motion (0 to 255) above which a cut is likely, and above which it is certain."""
_HISTOGRAM = 0.12
"""Share of the pixels that must have changed their brightness for a likely cut."""
_UNLIKE = 0.55
"""The same difference as a share of the picture's contrast, above which a cut is likely whatever its brightness."""
_ALIKE = 0.6
"""Correlation with the moved earlier frame above which a frame shows the same things in other light."""
_BLANK = 6.0
"""Standard deviation below which a frame shows nothing: black, white or fog."""
_PAUSE = 3
"""Frames after a cut in which no other one is believed."""

Gray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class CutState:
    """All that a detector remembers."""

    previous: Gray | None
    """The last frame that showed something, small and grey; None at the start."""
    since_cut: int
    """Frames seen since the last cut."""


class SceneCutDetector:
    """Says of each frame whether a new shot begins with it.

    Motion, noise, a change of light and a flash are no cuts; nor is a fade, which has no first frame.
    About 1 ms a frame where little moves, 2 to 3 ms otherwise.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._state = CutState(None, _PAUSE)

    def step(self, rgb_hwc: NDArray[np.uint8]) -> bool:
        """Take the next frame, (H, W, 3) RGB of any size; the first one is no cut."""
        current = _small_gray(rgb_hwc)
        previous, since_cut = self._state.previous, self._state.since_cut + 1
        if float(current.std()) < _BLANK:
            # What comes after a flash or a black gap is compared with what came before it.
            self._state = CutState(previous, since_cut)
            return False
        cut = previous is not None and since_cut >= _PAUSE and self._differ(previous, current)
        self._state = CutState(current, 0 if cut else since_cut)
        return cut

    def reset(self) -> None:
        """Forget everything, as after a seek."""
        self._state = CutState(None, _PAUSE)

    def snapshot(self) -> CutState:
        """Return what is remembered; it never changes afterwards."""
        return self._state

    def restore(self, state: CutState) -> None:
        """Go on as after the frame at which ``state`` was taken."""
        self._state = state

    def _differ(self, previous: Gray, current: Gray) -> bool:
        height, width = current.shape
        if previous.shape != current.shape:
            previous = np.asarray(cv2.resize(previous, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if _residual(previous, current) <= _RESIDUAL:
            return False  # so alike in place that motion need not be looked for
        moved = self._moved(previous, current)
        residual = _residual(moved, current)
        changed = _changed_share(previous, current) > _HISTOGRAM
        # Two rooms of one house have the same brightness, but nothing in one explains the other.
        likely = residual > _RESIDUAL and (changed or residual > _UNLIKE * float(current.std()))
        return (likely or residual > _SURE_RESIDUAL) and _correlation(moved, current) < _ALIKE

    def _moved(self, previous: Gray, current: Gray) -> Gray:
        """Return ``previous`` moved to where its things are in ``current``."""
        flow_hw2 = np.asarray(self._flow.calc(current, previous, None), np.float32)  # type: ignore[call-overload]
        height, width = current.shape
        flow_hw2[..., 0] += np.arange(width, dtype=np.float32)
        flow_hw2[..., 1] += np.arange(height, dtype=np.float32)[:, None]
        moved = cv2.remap(previous, flow_hw2, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return np.asarray(moved, np.uint8)


def _small_gray(rgb_hwc: NDArray[np.uint8]) -> Gray:
    gray = cv2.cvtColor(np.ascontiguousarray(rgb_hwc), cv2.COLOR_RGB2GRAY)
    height = round(_WIDTH * rgb_hwc.shape[0] / rgb_hwc.shape[1])
    size_wh = (_WIDTH, min(max(height, _HEIGHTS[0]), _HEIGHTS[1]))
    return np.asarray(cv2.resize(gray, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _residual(a: Gray, b: Gray) -> float:
    return float(np.median(cv2.blur(cv2.absdiff(a, b), (3, 3))))


def _changed_share(a: Gray, b: Gray) -> float:
    shares = [np.bincount(gray.reshape(-1) >> 3, minlength=32) / gray.size for gray in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _correlation(a: Gray, b: Gray) -> float:
    deviations = [gray.astype(np.float32) - np.float32(gray.mean()) for gray in (a, b)]
    norm = float(np.linalg.norm(deviations[0]) * np.linalg.norm(deviations[1]))
    return float(np.vdot(*deviations)) / norm if norm else 0.0
