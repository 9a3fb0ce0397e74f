"""What the losses forgive and what they punish."""

import pytest
import torch

from examples.train_tiny.losses import LossWeights, gradient_mismatch, normalised, total_loss, unsteadiness


@pytest.fixture
def inverse() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(4, 24, 32) + 0.1


def test_scale_and_shift_are_forgiven(inverse):
    torch.testing.assert_close(normalised(3.0 * inverse + 2.0), normalised(inverse), rtol=1e-3, atol=1e-3)


def test_the_truth_costs_next_to_nothing_and_noise_costs(inverse):
    weights = LossWeights(pin=0.0)
    true, _ = total_loss(inverse, inverse, None, weights)
    wrong, parts = total_loss(torch.rand_like(inverse), inverse, None, weights)
    assert true < 0.01
    assert wrong > 1.0
    assert set(parts) == {"ssi", "proportion", "gradient", "pin"}


def test_a_shift_costs_in_proportion_because_zero_is_infinity(inverse):
    _, parts = total_loss(inverse + 1.0, inverse, None, LossWeights())
    assert parts["ssi"] < 0.01
    assert parts["proportion"] > 0.05


def test_a_blurred_edge_costs_gradient():
    step = torch.zeros(1, 16, 16)
    step[..., 8:] = 1.0
    blurred = torch.nn.functional.avg_pool1d(step, 5, stride=1, padding=2, count_include_pad=False)
    assert gradient_mismatch(step - step) == 0
    assert gradient_mismatch(blurred - step) > 0.1


def test_steady_depth_costs_nothing_and_a_jump_of_scale_costs(inverse):
    still = torch.zeros(2, 24, 32, 2)
    pair = inverse[0::2].repeat_interleave(2, dim=0)
    jump = pair.clone()
    jump[1::2] *= 1.5
    assert unsteadiness(pair, pair, still) < 1e-4
    assert unsteadiness(jump, pair, still) > 0.1


def test_hidden_points_cost_nothing(inverse):
    hidden = torch.full((2, 24, 32, 2), torch.nan)
    assert unsteadiness(torch.rand_like(inverse), inverse, hidden) == 0


def test_depth_that_moves_as_the_flow_says_is_steady():
    columns = torch.arange(32.0).expand(1, 24, 32)
    flow = torch.zeros(1, 24, 32, 2)
    flow[..., 0] = 3.0
    pair = torch.cat([columns, columns - 3.0])
    # The truth is steady; a prediction that does not follow the motion is not.
    assert unsteadiness(pair, pair, flow) < 1e-4
    assert unsteadiness(torch.cat([columns, columns]), pair, flow) > 0.1
