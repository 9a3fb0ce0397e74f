"""Depth networks: found by name or file, recognised, loaded as their authors published them. Importing this loads no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import default_model_name

if TYPE_CHECKING:
    import torch

    from .base import DepthModel as DepthModel
    from .base import ModelInfo as ModelInfo
    from .http_file import OnProgress
    from .network import NetworkModel as NetworkModel
    from .preprocess import Fit
    from .runtime import RuntimeChoice

__all__ = ["default_model_name", "installed_models", "load_model"]


def installed_models() -> list[str]:
    """Return the names of the models whose files are on this machine; asks no network."""
    from .store import Store

    return [entry.name for entry in Store.from_environment().installed()]


def load_model(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    runtime: RuntimeChoice = "torch",
    meanwhile: bool = False,
    variant: str | None = None,
    fit: Fit | None = None,
    size: int | None = None,
    accept_license: bool = False,
    on_progress: OnProgress | None = None,
) -> NetworkModel:
    """Load a depth model as a ``DepthModel``.

    Args:
        name_or_path: A name of the catalog, such as ``depth-anything-v2-small`` or ``tiny``, which is downloaded once;
            or a checkpoint file, or a folder with one.
        device: Where to put it, as torch says it.
        dtype: Precision of the weights and of the work inside; None is float32, and with OpenVINO bfloat16 where the
            processor has it. What half precision does is said at ``NetworkModel``.
        runtime: ``torch`` gives the authors' numbers to within rounding. ``openvino`` runs picture networks faster on a
            CPU, as far as they agree with torch: see ``models.runtime``. ``auto`` is the faster one, by a measurement.
        meanwhile: With ``auto``, let torch run pictures until OpenVINO is ready for their size; False waits.
        variant: The release, such as ``v1`` or ``v2-metric-indoor``, where the file does not tell or tells wrong.
        fit: How pictures meet the network's shape; None is the authors' way.
        size: Replaces the authors' base size, pixels.
        accept_license: Whether weights that are not free for commercial use may be downloaded.
        on_progress: Called during a download with the bytes at hand and the bytes in all.

    Raises:
        CheckpointError: The file is unknown, damaged or incomplete, or no model has this name.
        DownloadError: The model cannot be fetched, or is not what was published.
        LicenseError: Its licence has to be accepted first.
        DeviceError: The device is absent or too small.
    """
    from .loading import load
    from .preprocess import Preprocessing

    return load(
        name_or_path,
        device=device,
        dtype=dtype,
        runtime=runtime,
        meanwhile=meanwhile,
        variant=variant,
        preprocessing=Preprocessing(size=size, fit=fit),
        accept_license=accept_license,
        on_progress=on_progress,
    )
