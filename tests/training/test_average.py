from __future__ import annotations

import torch
from torch import nn

from raytl.training.average import WeightAverage


def test_the_average_moves_towards_the_weights_and_is_swapped_in_and_out_to_the_bit() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = WeightAverage(0.9)
    start = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
    average.track(module.state_dict())
    with torch.no_grad():
        module[0].weight.add_(1.0)
        module[1].num_batches_tracked.add_(5)
    average.update(module.state_dict())
    moved = module[0].weight.detach().clone()
    with average.swapped_in(module):
        assert torch.allclose(module[0].weight, start["0.weight"] + 0.1)
        assert int(module[1].num_batches_tracked) == 5
    assert torch.equal(module[0].weight, moved)


def test_what_is_followed_already_keeps_its_history() -> None:
    average = WeightAverage(0.5)
    average.track({"a": torch.zeros(1)})
    average.track({"a": torch.ones(1), "b": torch.ones(1)})
    assert average.shadow["a"].item() == 0.0
    assert average.shadow["b"].item() == 1.0
