"""Entropy minimization moves scales and shifts, and nothing else, whatever the batches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raytl.adaptation.entropy import affine_parameters, entropies, minimize_entropy
from raytl.adaptation.statistics import GROUP


def network(norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.GroupNorm(2, 6) if norm is nn.GroupNorm else norm(6)
    return nn.Sequential(nn.Conv2d(3, 6, 3), middle, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 + 1


def test_the_entropy_of_answers() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0], [99.0, -99.0, 0.0]])
    table = torch.softmax(logits.double(), 1).numpy()
    np.testing.assert_allclose(entropies(logits), [-(row * np.log(np.maximum(row, 1e-300))).sum() for row in table], atol=1e-6)  # fmt: skip


def test_answers_become_certain_and_only_the_normalization_changes() -> None:
    module, given = network().eval(), images(GROUP)
    before = copy.deepcopy(module.state_dict())
    minimize_entropy(module, lambda: [given], 0.05, 20)
    own = network().eval()
    with torch.no_grad():
        assert entropies(module(given)).mean() < 0.9 * entropies(own(given)).mean()
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"1.weight", "1.bias"}


@pytest.mark.parametrize("size", [1, 13, 100])
def test_the_size_of_the_batches_changes_no_bit(size: int) -> None:
    one, other = network().eval(), network().eval()
    minimize_entropy(one, lambda: [images(GROUP + 9)], 0.01, 2)
    minimize_entropy(other, lambda: images(GROUP + 9).split(size), 0.01, 2)
    assert all(torch.equal(left, right) for left, right in zip(one.parameters(), other.parameters(), strict=True))


def test_a_step_is_that_of_adam_on_the_mean_of_the_group() -> None:
    module, given = network().eval(), images(40)
    plain = copy.deepcopy(module)
    optimizer = torch.optim.Adam(plain[1].parameters(), lr=0.01)  # type: ignore[index]
    entropies(plain(given)).mean().backward()
    optimizer.step()
    minimize_entropy(module, lambda: [given], 0.01, 1)
    for own, expected in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, expected)


def test_what_learns_afterwards_is_as_it_was() -> None:
    module = network().eval()
    module[0].requires_grad_(False)  # type: ignore[index]
    minimize_entropy(module, lambda: [images(4)], 0.01, 1)
    assert [part.requires_grad for part in module.parameters()] == [False, False, True, True, True, True]
    assert all(part.grad is None for part in module.parameters())


def test_other_layers_learn_only_without_batch_norm() -> None:
    both = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3))
    assert affine_parameters(both) == [both[0].weight, both[0].bias]
    grouped = network(nn.GroupNorm)
    assert affine_parameters(grouped) == list(grouped[1].parameters())  # type: ignore[index]
    assert affine_parameters(nn.LayerNorm(3)) != [] == affine_parameters(nn.Linear(3, 3))


def test_a_network_without_normalization_cannot_learn() -> None:
    with pytest.raises(ValueError, match="no normalization layer"):
        minimize_entropy(nn.Linear(3, 2), lambda: [torch.zeros(2, 3)], 0.01, 1)
