"""Depth networks: found by name or file, recognised, loaded as their authors published them. Importing this loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import default_model_name

if TYPE_CHECKING:
    import torch

    from .network import NetworkModel
    from .preprocess import Preprocessing

__all__ = ["default_model_name", "load_model"]


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    variant: str | None = None,
    preprocessing: Preprocessing | None = None,
) -> NetworkModel:
    """Load a depth model as a ``DepthModel``.

    Args:
        name_or_path: A name of the catalog, such as ``depth-anything-v2-small`` or ``tiny``, or a checkpoint file,
            or a folder with one.
        device: Where to put it, as torch says it.
        dtype: Precision of the weights and of the work inside; float32 where None. What half precision does is said
            at ``NetworkModel``.
        variant: The release, such as ``v1`` or ``v2-metric-indoor``, where the file does not tell or tells wrong.
        preprocessing: Choices beside the authors' recipe for pictures.

    Raises:
        CheckpointError: The file is unknown, damaged or incomplete, or no model has this name.
        DeviceError: The device is absent or too small.
    """
    import torch

    from .loading import load
    from .preprocess import AS_AUTHORS

    return load(
        name_or_path,
        device=device,
        dtype=dtype or torch.float32,
        variant=variant,
        preprocessing=preprocessing or AS_AUTHORS,
    )
