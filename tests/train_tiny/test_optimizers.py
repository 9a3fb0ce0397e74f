"""Muon: orthogonal updates, and fewer steps than Adam."""

import pytest
import torch
from torch import nn

from examples.train_tiny.optimizers import Muon, optimizers_of, orthogonalised


@pytest.mark.parametrize("shape", [(24, 64), (64, 24), (32, 32)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape):
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(orthogonalised(torch.randn(shape), iterations=8))
    assert singular.max() < 1.4
    assert singular.median() > 0.6


def test_its_directions_are_those_of_the_matrix():
    torch.manual_seed(0)
    matrix = torch.randn(24, 64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(orthogonalised(matrix).flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.95


def test_it_fits_a_linear_map():
    torch.manual_seed(0)
    truth, weight = torch.randn(32, 32), nn.Parameter(torch.zeros(32, 32))
    optimizer = Muon([weight], lr=0.2, decay=0.0)
    errors = []
    for _ in range(60):
        inputs = torch.randn(64, 32)
        loss = ((inputs @ weight.T - inputs @ truth.T) ** 2).mean()
        weight.grad = None
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < 0.1 * errors[0]


def test_convolutions_go_to_muon_and_norms_and_the_first_layer_to_adam():
    network = nn.Sequential()
    network.add_module("patch_embed", nn.Conv2d(3, 24, 3))
    network.add_module("hidden", nn.Conv2d(24, 32, 3))
    network.add_module("norm", nn.BatchNorm2d(32))
    network.add_module("predict", nn.Conv2d(32, 4, 3))
    muon, adam = optimizers_of(network, 1e-3, 0.05)
    sizes = [[tuple(value.shape) for value in group["params"]] for group in (*muon.param_groups, *adam.param_groups)]
    assert sizes[0] == [(32, 24, 3, 3)]
    assert sizes[1] == [(24, 3, 3, 3), (4, 32, 3, 3)]
    assert (32,) in sizes[2]
    assert adam.param_groups[1]["weight_decay"] == 0.0
