"""Two checkpoints of one network are averaged, weight by weight."""

import pytest
import torch

from examples.train_tiny.blend import blend

OLDER = {"weight": torch.tensor([0.0, 4.0]).half(), "batches": torch.tensor(3)}
NEWER = {"weight": torch.tensor([8.0, 0.0]), "batches": torch.tensor(9)}


def test_weights_lie_the_share_of_the_way_to_the_newer_and_counters_are_the_newers():
    blended = blend(OLDER, NEWER, 0.25)
    torch.testing.assert_close(blended["weight"], torch.tensor([2.0, 3.0]))
    assert int(blended["batches"]) == 9


def test_a_share_beyond_the_two_is_refused():
    with pytest.raises(ValueError, match=r"lies in 0\.\.1; got 1\.5"):
        blend(OLDER, NEWER, 1.5)


def test_checkpoints_of_different_networks_are_refused():
    with pytest.raises(ValueError, match="only checkpoints of one network"):
        blend(OLDER, {"weight": torch.zeros(3)}, 0.5)
