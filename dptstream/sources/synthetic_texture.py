"""A seamless texture for computed films."""

import numpy as np
from numpy.typing import NDArray

TEXTURE_SIDE = 512
"""Width and height of the texture, texels; a power of two."""

_SHORTEST_WAVE = 6.0
"""Finest detail, texels: coarse enough not to shimmer when seen from afar."""


def make_texture(random: np.random.Generator) -> NDArray[np.uint8]:
    """Make coloured clouds crossed by joints, (512, 512, 3), which continue over their edges."""
    side = TEXTURE_SIDE
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1.0
    weight = np.exp(-((frequency * _SHORTEST_WAVE) ** 2)) / frequency**1.2
    channels = []
    shared = random.standard_normal((side, side))
    for _ in range(3):
        spectrum = np.fft.rfft2(shared + 0.15 * random.standard_normal((side, side))) * weight
        clouds = np.fft.irfft2(spectrum, (side, side))
        channels.append(0.55 + 0.13 * clouds / clouds.std())
    texture = np.stack(channels, axis=-1) * _joints(side)[..., None]
    return np.clip(texture * 255, 0, 255).astype(np.uint8)


def _joints(side: int) -> NDArray[np.float64]:
    """Return dark lines around tiles of 64 texels, with soft edges."""
    from_joint = np.abs((np.arange(side) + 32) % 64 - 32)
    line = 1 - 0.45 * np.exp(-((from_joint / 3.0) ** 2))
    return np.minimum(line[:, None], line[None, :])
