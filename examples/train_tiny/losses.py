"""What the network is trained on: order, proportion, edges, and steadiness between two views.

Scale-and-shift-invariant error and gradient matching are those of Ranftl et al., "Towards Robust
Monocular Depth Estimation" (2020); their trimming is left out, as rendered depth has no outliers and
the largest errors sit at the edges that should become crisp.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SPARSE = 5
"""Every fifth pixel is enough for a median."""
_FLOOR = 0.05
"""What is added before a logarithm, as a share of the mean inverse depth."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How much each part of the loss counts."""

    proportion: float = 1.0
    """Mean absolute error of the logarithm, up to scale alone: zero stays at infinity."""
    gradient: float = 0.5
    """Multi-scale gradient matching."""
    pin: float = 0.02
    """Keeps the mean of the output near 1."""
    temporal: float = 0.5
    """Change between two views of a point, beyond the true change."""


def total_loss(
    prediction: Tensor, inverse: Tensor, flow: Tensor | None, weights: LossWeights
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss and its parts by name.

    Args:
        prediction: (N, H, W), not negative.
        inverse: (N, H, W) true inverse depth.
        flow: (N/2, H, W, 2) if the N pictures are pairs.
        weights: How much each part counts.
    """
    target = _without_extremes(inverse)
    normal_prediction, normal_target = normalised(prediction), normalised(target)
    log_prediction, log_target = _log_share(prediction), _log_share(target)
    parts = {
        "ssi": (normal_prediction - normal_target).abs().mean(),
        "proportion": weights.proportion * (log_prediction - log_target).abs().mean(),
        "gradient": weights.gradient
        * (gradient_mismatch(normal_prediction - normal_target) + 0.5 * gradient_mismatch(log_prediction - log_target)),
        "pin": weights.pin * torch.log(prediction.mean(dim=(1, 2)) + 1e-3).abs().mean(),
    }
    if flow is not None:
        parts["temporal"] = weights.temporal * unsteadiness(prediction, target, flow)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(part.detach()) for name, part in parts.items()}


def normalised(values: Tensor) -> Tensor:
    """Return each (H, W) map less its median, over its mean absolute deviation."""
    shift, scale = _median_and_spread(values)
    return (values - shift) / scale


def gradient_mismatch(residual: Tensor, scales: int = 4) -> Tensor:
    """Return the mean absolute gradient of the residual over ``scales`` resolutions."""
    total = residual.new_zeros(())
    for level in range(scales):
        step = 2**level
        sparse = residual[:, ::step, ::step]
        total = total + (sparse[:, :, 1:] - sparse[:, :, :-1]).abs().mean()
        total = total + (sparse[:, 1:] - sparse[:, :-1]).abs().mean()
    return total


def unsteadiness(prediction: Tensor, target: Tensor, flow: Tensor) -> Tensor:
    """Return how far the change between two views departs from the true change.

    Both views are normalised as the first is, so jumps of scale and shift count too.
    """
    shift_p, scale_p = _median_and_spread(prediction[0::2])
    shift_t, scale_t = _median_and_spread(target[0::2])
    first = (prediction[0::2] - shift_p) / scale_p - (target[0::2] - shift_t) / scale_t
    second = (prediction[1::2] - shift_p) / scale_p - (target[1::2] - shift_t) / scale_t
    height, width = flow.shape[1:3]
    visible = torch.isfinite(flow).all(dim=3)
    moved = torch.nan_to_num(flow)
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device) + 0.5,
        torch.arange(width, device=flow.device) + 0.5,
        indexing="ij",
    )
    grid_x = (x + moved[..., 0]) * 2.0 / width - 1.0
    grid_y = (y + moved[..., 1]) * 2.0 / height - 1.0
    visible &= (grid_x.abs() <= 1.0) & (grid_y.abs() <= 1.0)
    warped = F.grid_sample(second[:, None], torch.stack([grid_x, grid_y], dim=3), mode="bilinear", align_corners=False)[
        :, 0
    ]
    error = (warped - first).abs().clamp(max=2.0)
    return (error * visible).sum() / visible.sum().clamp(min=1)


def _median_and_spread(values: Tensor) -> tuple[Tensor, Tensor]:
    sparse = values.flatten(1)[:, ::_SPARSE]
    shift = sparse.median(dim=1).values
    spread = (sparse - shift[:, None]).abs().mean(dim=1)
    return shift[:, None, None], spread[:, None, None] + 1e-4


def _without_extremes(inverse: Tensor) -> Tensor:
    """Limit what is very near, or a twig before the lens would set the scale of all."""
    sparse = inverse.flatten(1)[:, ::_SPARSE]
    typical = sparse.mean(dim=1)[:, None, None]
    limit = 8.0 * typical
    return torch.minimum(inverse, limit) / (typical + 1e-6)


def _log_share(values: Tensor) -> Tensor:
    mean = values.mean(dim=(1, 2), keepdim=True) + 1e-6
    return torch.log(values / mean + _FLOOR)
