"""Muon: momentum whose every update is made orthogonal, which learns from fewer samples than Adam does.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. Scaled as in Liu et al., "Muon is Scalable for LLM Training",
2025, so that AdamW's learning rate and weight decay serve it too.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_LEAST_SIDE = 16
"""Matrices thinner than this are left to Adam."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; convolutions count as matrices with a row for each output channel."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, decay: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is None:
                    continue
                state = self.state[value]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(value)
                velocity = state["momentum"].lerp_(value.grad, 1.0 - group["momentum"])
                matrix = value.grad.lerp(velocity, group["momentum"]).flatten(1)
                scale = 0.2 * math.sqrt(max(matrix.shape))
                value.mul_(1.0 - group["lr"] * group["decay"])
                value.add_(orthogonalised(matrix).view_as(value), alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return a matrix with the same directions and singular values near 1, by a Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


def optimizers_of(network: nn.Module, lr: float, decay: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the hidden matrices and AdamW for the rest: first and last layer, norms, biases, thin matrices."""
    hidden, weights, others = [], [], []
    for name, value in network.named_parameters():
        if value.ndim == 1:
            others.append(value)
        elif name.startswith("patch_embed") or min(value.flatten(1).shape) < _LEAST_SIDE:
            weights.append(value)
        else:
            hidden.append(value)
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [Muon(hidden, lr, decay), torch.optim.AdamW(groups, lr=lr)]
