"""The terms of methods against their formulas, written as loops in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from raytl.data.loader import Batch
from raytl.training.objectives.adversarial import Adversary, discriminator, reversal
from raytl.training.objectives.domain import TARGET_VIEW, Discrepancy, coral, mmd
from raytl.training.objectives.fixmatch import MOMENTUM, STRONG, WEAK, FixMatch, consistency
from raytl.training.objectives.joint import FeatureTap, Joint, Outputs
from raytl.training.objectives.objective import LABELLED
from raytl.world import World

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
SOURCE, OTHER = torch.randn(7, 5, generator=GENERATOR), torch.randn(6, 5, generator=GENERATOR) * 2 + 1


class Step:
    """The network of a step whose terms have all outputs."""

    def __init__(self, progress: float = 1.0, count: int = 7, epoch: int = 0) -> None:
        self.progress, self.count, self.epoch = progress, count, epoch

    def inputs(self, batch: Batch) -> Tensor:
        return batch.images

    def answers(self, inputs: Tensor) -> Tensor:
        raise AssertionError

    def __call__(self, *values: Any) -> Any:
        raise AssertionError


def seen(features: Mapping[str, Tensor]) -> Outputs:
    return Outputs({}, features, {})


def test_coral_is_the_distance_of_covariances() -> None:
    difference = np.cov(SOURCE.double().numpy().T) - np.cov(OTHER.double().numpy().T)
    assert float(coral(SOURCE, OTHER)) == pytest.approx((difference**2).sum() / (4 * 5**2), rel=1e-5)
    assert float(coral(SOURCE, SOURCE + 3)) == pytest.approx(0, abs=1e-9)


def test_mmd_is_the_mean_difference_of_kernels() -> None:
    xs, ys = SOURCE.double().numpy(), OTHER.double().numpy()
    every = [*xs, *ys]
    pairs = [(i, j) for i in range(13) for j in range(13) if i != j]
    mean = np.mean([((every[i] - every[j]) ** 2).sum() for i, j in pairs])

    def kernel(a: Any, b: Any) -> float:
        return sum(math.exp(-((a - b) ** 2).sum() / (mean * width)) for width in (0.25, 0.5, 1, 2, 4))

    def within(rows: Any) -> float:
        return float(np.mean([kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]))

    expected = within(xs) + within(ys) - 2 * np.mean([kernel(a, b) for a in xs for b in ys])
    assert float(mmd(SOURCE, OTHER)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("distance", [coral, mmd])
def test_the_gradient_of_a_distance_is_finite_and_draws_the_domains_together(distance: Any) -> None:
    moved = OTHER.clone().requires_grad_()
    before = distance(SOURCE, moved)
    before.backward()
    assert moved.grad is not None and bool(moved.grad.isfinite().all())
    assert distance(SOURCE, moved.detach() - 0.1 * moved.grad / moved.grad.norm()) < before


def test_a_micro_batch_has_its_part_of_the_mean_and_one_image_has_no_covariance() -> None:
    term = Discrepancy(coral, weight=3.0)
    whole = term.loss(seen({LABELLED: SOURCE, TARGET_VIEW: OTHER}), Step(count=14))
    assert float(whole) == pytest.approx(3.0 * float(coral(SOURCE, OTHER)) / 2, rel=1e-6)
    assert float(term.loss(seen({LABELLED: SOURCE, TARGET_VIEW: OTHER[:1]}), Step())) == 0


def test_only_sure_images_are_learned_each_by_the_threshold_of_its_class() -> None:
    weak = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    strong = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    losses = consistency(weak, strong, torch.tensor([0.85, 0.6]))
    expected = [-math.log(1 / (1 + math.e)), 0, -math.log(1 / (1 + math.e)), 0]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_fixmatch_divides_by_all_images_of_the_step_and_moves_its_thresholds_after_it() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    strong = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.0, 0.5]])
    term = FixMatch(classes=2, count=3, threshold=0.9, weight=2.0, device=CPU)
    parts = [
        term.loss(Outputs({STRONG: strong[part]}, {}, {WEAK: logits[part]}), Step())
        for part in (slice(0, 2), slice(2, 3))
    ]
    learned = functional.cross_entropy(strong[[0, 2]], torch.tensor([0, 0]), reduction="sum")
    assert float(sum(parts)) == pytest.approx(2.0 * float(learned) / 3, rel=1e-6)
    assert term.state.thresholds(0.9).tolist() == pytest.approx([0.9, 0.9])
    term.end_step(World.solo(), CPU)
    means = MOMENTUM * 0.5 + (1 - MOMENTUM) * logits.softmax(1).mean(0)
    assert torch.allclose(term.state.probabilities, means)
    assert term.state.thresholds(0.9).tolist() == pytest.approx([0.9, 0.9 * float(means[1] / means[0])])


class Ones(Step):
    """A network of ones that has no answers."""

    def __call__(self, *values: Any) -> Any:
        return torch.ones(len(values[0]), 3)


def test_a_micro_batch_without_images_asks_the_network_nothing() -> None:
    term = FixMatch(classes=3, count=4, threshold=0.5, weight=1.0, device=CPU)
    tap = cast("FeatureTap", SimpleNamespace(take=lambda: torch.zeros(2, 5)))
    joint = Joint.of(lambda forward, inputs, targets, ids: forward(inputs).sum(), {"fixmatch": term}, tap)
    assert joint.needs_answers
    batches = {name: Batch(torch.zeros(n, 5), torch.arange(n)) for name, n in ((LABELLED, 2), (WEAK, 0), (STRONG, 0))}
    loss = joint.step(Ones(), batches)
    assert float(loss.labelled) == 6 and loss.beside is not None and float(loss.beside) == 0


def test_the_reversal_grows_from_nothing_to_one() -> None:
    assert reversal(0) == 0
    assert reversal(0.3) == pytest.approx(2 / (1 + math.exp(-3)) - 1)
    assert reversal(1) == pytest.approx(1, abs=1e-4)


def test_the_discriminator_learns_the_domain_and_the_network_the_opposite() -> None:
    term = Adversary(width=5, count=6, weight=0.5, seed=1, device=CPU)
    source, other = SOURCE.clone().requires_grad_(), OTHER.clone().requires_grad_()
    loss = term.loss(seen({LABELLED: source, TARGET_VIEW: other}), Step(progress=0.2))
    loss.backward()
    plain = discriminator(5, 1)
    mine, theirs = SOURCE.clone().requires_grad_(), OTHER.clone().requires_grad_()
    ones, zeros = torch.ones(7), torch.zeros(6)
    expected = (
        functional.binary_cross_entropy_with_logits(plain(mine)[:, 0], ones)
        + functional.binary_cross_entropy_with_logits(plain(theirs)[:, 0], zeros)
    ) / 2
    expected.backward()
    assert torch.allclose(loss, expected)
    factor = -0.5 * reversal(0.2)
    assert source.grad is not None and mine.grad is not None and other.grad is not None and theirs.grad is not None
    assert torch.allclose(source.grad, factor * mine.grad) and torch.allclose(other.grad, factor * theirs.grad)
    for one, same in zip(term.state.parameters(), plain.parameters(), strict=True):
        assert one.grad is not None and same.grad is not None and torch.allclose(one.grad, same.grad)


def test_a_discriminator_follows_from_its_seed_and_leaves_the_global_generators_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.manual_seed_all", None)
    before = torch.get_rng_state()
    one, same, other = (nn.utils.parameters_to_vector(discriminator(4, seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
