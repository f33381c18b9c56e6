from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from raytl.config.schema import TrainConfig
from raytl.errors import ConfigError
from raytl.tasks.classification.loss import class_weights, loss

COUNTS = {"ants": 6, "bees": 2}
LOGITS = torch.tensor([[2.0, -1.0], [0.3, 0.4], [-1.0, 3.0]])
TARGETS = torch.tensor([0, 0, 1])


def test_the_loss_is_torchs_cross_entropy_a_sample() -> None:
    ours = loss(TrainConfig(), COUNTS)(LOGITS, TARGETS)
    assert torch.allclose(ours, functional.cross_entropy(LOGITS, TARGETS, reduction="none"))


def test_label_smoothing_is_torchs() -> None:
    ours = loss(TrainConfig(label_smoothing=0.1), COUNTS)(LOGITS, TARGETS)
    theirs = functional.cross_entropy(LOGITS, TARGETS, reduction="none", label_smoothing=0.1)
    assert torch.allclose(ours, theirs)


def test_mixed_targets_are_taken_in_proportion() -> None:
    soft = torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(
        loss(TrainConfig(), COUNTS)(LOGITS, soft), functional.cross_entropy(LOGITS, soft, reduction="none")
    )


def test_the_focal_loss_is_the_papers_formula() -> None:
    ours = loss(TrainConfig(loss="focal", focal_gamma=2.0), COUNTS)(LOGITS, TARGETS)
    p = functional.softmax(LOGITS, dim=1)[torch.arange(3), TARGETS]
    assert torch.allclose(ours, -((1 - p) ** 2) * p.log())


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_the_generalized_cross_entropy_is_the_papers_formula(q: float) -> None:
    ours = loss(TrainConfig(loss="gce", gce_q=q), COUNTS)(LOGITS, TARGETS)
    p = functional.softmax(LOGITS, dim=1)[torch.arange(3), TARGETS]
    assert torch.allclose(ours, (1 - p**q) / q)


def test_the_generalized_cross_entropy_goes_from_cross_entropy_to_the_absolute_error() -> None:
    near, far = (loss(TrainConfig(loss="gce", gce_q=q), COUNTS)(LOGITS, TARGETS) for q in (1e-6, 1.0))
    assert torch.allclose(near, functional.cross_entropy(LOGITS, TARGETS, reduction="none"), rtol=1e-4)
    p = functional.softmax(LOGITS, dim=1)
    assert torch.allclose(far, (functional.one_hot(TARGETS, 2) - p).abs().sum(1) / 2)


def test_the_generalized_cross_entropy_of_a_label_that_the_network_denies_hardly_moves_it() -> None:
    logits = torch.tensor([[12.0, -12.0]], requires_grad=True)
    loss(TrainConfig(loss="gce"), COUNTS)(logits, torch.tensor([1])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-4


def test_balanced_weights_are_inverse_to_frequency_with_mean_one_over_the_samples() -> None:
    weights = class_weights(TrainConfig(class_weights="balanced"), COUNTS)
    assert weights == pytest.approx((8 / 12, 2.0))
    assert weights is not None
    assert (6 * weights[0] + 2 * weights[1]) / 8 == pytest.approx(1.0)


def test_given_weights_keep_their_ratio() -> None:
    weights = class_weights(TrainConfig(class_weights={"bees": 4.0}), COUNTS)
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx(4.0)


def test_weights_are_given_to_classes_in_either_unicode_form() -> None:
    counts = {"caf\u00e9": 6, "bees": 2}
    composed, apart = (
        class_weights(TrainConfig(class_weights={name: 4.0}), counts) for name in ("caf\u00e9", "cafe\u0301")
    )
    assert composed == apart is not None


def test_weights_of_unknown_classes_are_an_error() -> None:
    with pytest.raises(ConfigError, match="'wasps' is not a class of the data; expected: ants, bees"):
        class_weights(TrainConfig(class_weights={"wasps": 2.0}), COUNTS)


def test_weights_that_are_not_positive_are_an_error() -> None:
    with pytest.raises(ConfigError, match="ants: 0.0: expected numbers above 0"):
        class_weights(TrainConfig(class_weights={"ants": 0.0}), COUNTS)
