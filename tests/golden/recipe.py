"""Seeded weights and pictures: the same numbers for a name and a shape on every machine."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EMBEDDINGS = ("pos_embed", "cls_token", "mask_token")


def seeded(name: str, shape: Sequence[int], salt: int = 0) -> NDArray[np.float32]:
    """Make the float32 array of one state-dict entry from its ``name``, ``shape`` and ``salt``.

    The scale depends on what the entry is, so that a network filled this way keeps its activations in a sane range.
    """
    generator = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), salt]))
    noise = np.asarray(generator.standard_normal(tuple(shape), dtype=np.float32), dtype=np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return np.float32(1.0) + np.float32(0.1) * np.abs(noise)
    if leaf == "logit_scale":
        return np.log(10.0).astype(np.float32) + np.float32(0.1) * noise
    if leaf == "gamma" or leaf.startswith("gamma_"):
        return np.float32(0.3) + np.float32(0.05) * noise
    if leaf == "weight" and len(shape) == 1:
        return np.float32(1.0) + np.float32(0.1) * noise
    if leaf == "relative_position_bias_table" or leaf in EMBEDDINGS:
        return np.float32(0.5) * noise
    if len(shape) >= 2:
        fan_in = int(np.prod(shape[1:]))
        return noise * np.float32(1.2 / np.sqrt(fan_in))
    return np.float32(0.1) * noise


def seeded_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw an (H, W, 3) uint8 RGB picture: smooth colour waves, a few discs and mild grain."""
    generator = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y /= height
    x /= width
    image = np.empty((height, width, 3))
    for channel in range(3):
        frequency_x, frequency_y = generator.uniform(1, 9, 2)
        phase = generator.uniform(0, 6.28)
        image[..., channel] = 127 + 70 * np.sin(6.28 * (frequency_x * x + frequency_y * y) + phase)
    for _ in range(12):
        centre_x, centre_y, radius = generator.uniform(0, 1), generator.uniform(0, 1), generator.uniform(0.03, 0.2)
        image[(x - centre_x) ** 2 + (y - centre_y) ** 2 < radius * radius] = generator.uniform(0, 255, 3)
    image += generator.normal(0, 6, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
