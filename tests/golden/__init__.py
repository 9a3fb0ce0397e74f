"""Outputs of the authors' own code, and the seeded weights and pictures they were computed from; see README.md."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .recipe import seeded, seeded_image

__all__ = ["Golden", "load", "normalised_batch", "seeded_clip_frame", "seeded_image", "seeded_state_dict"]

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Golden:
    """One reference: what went in and what the author's code gave."""

    name: str
    """File name without its ending, such as ``da2_vits``."""
    salt: int
    """Salt of the seeded weights."""
    mean: tuple[float, float, float]
    """Mean of the RGB normalisation."""
    std: tuple[float, float, float]
    """Standard deviation of the RGB normalisation."""
    weights: dict[str, tuple[int, ...]]
    """Key and shape of every learned entry of the published file."""
    buffers: dict[str, tuple[int, ...]]
    """Key and shape of entries which published files hold as well, and which a loader derives by itself."""
    arrays: dict[str, NDArray[np.float32]]
    """Outputs by name: ``forward_HxW``, ``infer_image_180x320_input252``, ``offline_...``, ``stream_...``."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes of the whole published file."""
        return self.weights | self.buffers


def load(name: str) -> Golden:
    """Read the reference called ``name``."""
    facts = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    with np.load(FOLDER / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    return Golden(
        name=name,
        salt=facts["salt"],
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        weights={key: tuple(shape) for key, shape in facts["weights"].items()},
        buffers={key: tuple(shape) for key, shape in facts["buffers"].items()},
        arrays=arrays,
    )


def seeded_state_dict(name: str) -> dict[str, torch.Tensor]:
    """Fill the published keys of ``name`` (without its buffers) with the seeded weights the reference was computed from."""
    golden = load(name)
    return {key: torch.from_numpy(seeded(key, shape, golden.salt)) for key, shape in golden.weights.items()}


def normalised_batch(golden: Golden, rgb_hwc_uint8: NDArray[np.uint8]) -> torch.Tensor:
    """Turn one picture into the (1, 3, H, W) float32 input of a ``forward_HxW`` reference: no resizing."""
    mean, std = np.asarray(golden.mean), np.asarray(golden.std)
    normalised_hwc = ((rgb_hwc_uint8 / 255.0 - mean) / std).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(normalised_hwc.transpose(2, 0, 1)))[None]


def seeded_clip_frame(index: int, *, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Cut frame ``index`` of the moving seeded clip of ``count`` frames: a window sliding 4 px a frame over one picture."""
    panorama = seeded_image(height, width + 4 * count, 5)
    return np.ascontiguousarray(panorama[:, 4 * index : 4 * index + width])
