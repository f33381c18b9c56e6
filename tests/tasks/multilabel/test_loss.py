from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from raytl.config.schema import TrainConfig
from raytl.errors import ConfigError
from raytl.tasks.multilabel.loss import LabelObjective, label_loss, positive_weights, prior_logits

VECTORS = np.array([[1, 0], [0, 0], [1, 0], [1, 1], [-1, 0]], dtype=np.int8)
LABELS = ("a", "b")
LOGITS = torch.tensor([[2.0, -1.0], [0.3, 0.4], [-9.0, 40.0]])
TARGETS = torch.tensor([[1, 0], [0, 1], [1, 0]], dtype=torch.int8)


def losses(targets: Tensor = TARGETS, **options: Any) -> Tensor:
    return label_loss(TrainConfig(**options), LABELS, VECTORS)(LOGITS, targets)


def test_cross_entropy_is_torchs_binary_cross_entropy() -> None:
    theirs = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS.float(), reduction="none")
    assert torch.allclose(losses(), theirs)


def test_focal_is_torchvisions() -> None:
    theirs = sigmoid_focal_loss(LOGITS, TARGETS.float(), alpha=-1, gamma=1.5)
    assert torch.allclose(losses(loss="focal", focal_gamma=1.5), theirs)


def test_asymmetric_is_the_papers_formula() -> None:
    p, y = torch.sigmoid(LOGITS.double()), TARGETS.double()
    shifted = (p - 0.05).clamp(min=0)
    expected = -y * p.log() - (1 - y) * shifted**4 * (1 - shifted).log()
    assert torch.allclose(losses(loss="asymmetric").double(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "asymmetric"])
def test_a_sure_label_has_a_finite_loss_and_gradient(kind: str) -> None:
    logits = torch.tensor([[500.0, -500.0], [-500.0, 500.0]], requires_grad=True)
    loss = label_loss(TrainConfig(loss=kind), LABELS, VECTORS)(logits, torch.tensor([[0, 1], [0, 1]]))
    loss.sum().backward()
    assert loss.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "asymmetric"])
def test_unknown_labels_have_no_loss_and_no_gradient(kind: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    targets = torch.tensor([[-1, 0], [0, -1], [-1, -1]], dtype=torch.int8)
    loss = label_loss(TrainConfig(loss=kind, label_smoothing=0.1), LABELS, VECTORS)(logits, targets)
    loss.sum().backward()
    assert logits.grad is not None
    assert ((loss != 0) == (targets >= 0)).all() and ((logits.grad != 0) == (targets >= 0)).all()


def test_smoothing_moves_both_answers_towards_one_half() -> None:
    theirs = functional.binary_cross_entropy_with_logits(LOGITS, TARGETS.float() * 0.8 + 0.1, reduction="none")
    assert torch.allclose(losses(label_smoothing=0.2), theirs)


def test_balanced_weights_are_absent_over_present_images_and_bounded() -> None:
    assert positive_weights(TrainConfig(class_weights="balanced"), LABELS, VECTORS) == pytest.approx((1 / 3, 4.0))
    rare = np.zeros((100, 1), dtype=np.int8)
    rare[0] = 1
    assert positive_weights(TrainConfig(class_weights="balanced"), ("a",), rare) == (10.0,)


def test_weights_multiply_the_loss_of_present_labels_only() -> None:
    weighted, plain = losses(class_weights={"b": 3.0}), losses()
    assert torch.allclose(weighted[1, 1], 3 * plain[1, 1])
    weighted[1, 1] = plain[1, 1]
    assert torch.allclose(weighted, plain)


def test_wrong_weights_are_all_reported() -> None:
    with pytest.raises(ConfigError, match=r"'c' is not a label of the data; expected: a, b") as caught:
        positive_weights(TrainConfig(class_weights={"c": 2.0, "a": 0.0}), LABELS, VECTORS)
    assert "a: 0.0: expected numbers above 0" in str(caught.value)


def test_the_prior_is_the_log_odds_of_the_known_images() -> None:
    assert torch.sigmoid(prior_logits(VECTORS)).tolist() == pytest.approx([4 / 6, 2 / 7])


def test_the_loss_of_a_batch_does_not_depend_on_its_division() -> None:
    objective = LabelObjective(label_loss(TrainConfig(), LABELS, VECTORS), 2)
    targets = torch.tensor([[1, -1], [0, 1], [-1, -1]], dtype=torch.int8)
    ids = torch.arange(3)
    assert objective.normalizer(targets) == 3
    whole = objective(lambda inputs: inputs, LOGITS, targets, ids) / objective.normalizer(targets)
    parts = [slice(0, 1), slice(1, 3)]
    sums = sum(objective(lambda inputs: inputs, LOGITS[part], targets[part], ids[part]) for part in parts)
    assert torch.allclose(whole, sums / sum(objective.normalizer(targets[part]) for part in parts))


def test_a_network_with_another_output_is_an_error() -> None:
    objective = LabelObjective(label_loss(TrainConfig(), LABELS, VECTORS), 2)
    with pytest.raises(ValueError, match=r"its output is \(3, 1\), expected \(3, 2\)"):
        objective(lambda inputs: inputs[:, :1], LOGITS, TARGETS, torch.arange(3))
