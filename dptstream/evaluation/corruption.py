"""Spoils exact depth as a per-frame network does, so that smoothing can be judged against the truth."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Corruption:
    """How far a made-up network strays from the truth. Shares are of the shot's range of inverse depth."""

    scale: float = 0.04
    """Standard deviation of the frame's scale."""
    shift: float = 0.023
    """Standard deviation of the frame's shift, share of the range."""
    persistence: float = 0.3
    """How much of a frame's scale and shift error lives on in the next frame, 0..1 at 25 frames/s."""
    warble: float = 0.02
    """Standard deviation of smooth bumps on a 4x6 grid, share of the range."""
    warble_persistence: float = 0.6
    """As ``persistence``, for the bumps."""
    edge_jitter_px: float = 1.3
    """Standard deviation of the outlines' wobble, pixels at a width of 448."""
    blur_px: float = 0.9
    """Gaussian blur of the depth, pixels at a width of 448."""
    noise: float = 0.006
    """Standard deviation of fine noise, share of the range."""
    outliers: int = 3
    """Frames in a shot of 60 that come out wholly wrong (scaled by 0.82, raised, bent)."""
    picture_noise: float = 2.5
    """Standard deviation of the camera's noise, 0..255."""


class Corruptor:
    """Spoils the frames of one shot, one after the other.

    Args:
        value_range: Range of the shot's true inverse depth.
        length: Frames in the shot; decides which are outliers.
        rng: Source of every error.
        corruption: How much of each error.
    """

    def __init__(
        self, value_range: float, length: int, rng: np.random.Generator, corruption: Corruption | None = None
    ) -> None:
        self._range, self._rng = value_range, rng
        self._config = corruption or Corruption()
        self._global = rng.normal(size=2)
        self._bumps = rng.normal(size=(4, 6))
        count = round(self._config.outliers * length / 60)
        # Not among the first frames, where a filter has nothing yet to hold against an outlier.
        candidates = np.arange(min(8, length), length)
        self._outliers = set(rng.choice(candidates, min(count, candidates.size), replace=False).tolist())
        self._index = 0

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture with the camera's noise."""
        noisy = image + self._rng.normal(0, self._config.picture_noise, image.shape).astype(np.float32)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

    def depth(self, inverse_depth: Float) -> Float:
        """Return what the made-up network gives for the next frame's true inverse depth."""
        config, rng = self._config, self._rng
        self._global = _persist(self._global, config.persistence, rng)
        self._bumps = _persist(self._bumps, config.warble_persistence, rng)
        outlier = self._index in self._outliers
        self._index += 1
        height, width = inverse_depth.shape
        spoiled = _wobble(inverse_depth, config.edge_jitter_px * width / 448, rng)
        blur = config.blur_px * width / 448
        if blur > 0.1:
            spoiled = np.asarray(cv2.GaussianBlur(spoiled, (0, 0), blur), np.float32)
        bend = 0.07 if outlier else config.warble
        bumps = cv2.resize(self._bumps.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        error = bend * bumps + config.noise * rng.normal(size=(height, width)) + config.shift * self._global[1]
        scale = np.exp(config.scale * self._global[0])
        if outlier:
            scale, error = scale * 0.82, error + 0.08
        return np.asarray(scale * spoiled + error * self._range, np.float32)


def _persist(value: NDArray[np.float64], share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Advance a first-order autoregressive process of unit variance."""
    return np.asarray(share * value + np.sqrt(1 - share**2) * rng.normal(size=value.shape))


def _wobble(depth: Float, sigma_px: float, rng: np.random.Generator) -> Float:
    """Move every outline a little, by a displacement field that is smooth in space and new in every frame."""
    if sigma_px <= 0:
        return depth
    height, width = depth.shape
    field = rng.normal(0, sigma_px, (24, 42, 2)).astype(np.float32)
    offset = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(
        cv2.remap(depth, x + offset[..., 0], y + offset[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    )
