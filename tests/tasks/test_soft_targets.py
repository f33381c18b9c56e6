"""The loss of a student beside its teacher."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from raytl.tasks.soft_targets import SoftTargetObjective

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
TARGETS = torch.tensor([0, 1])
IDS = torch.arange(2)


class Labels:
    """Cross-entropy of images that are halved first, as mixing would change them."""

    def normalizer(self, targets: Any) -> float | None:
        """Return the number of targets."""
        return float(len(targets))

    def __call__(self, forward: Any, inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Return the summed loss."""
        return functional.cross_entropy(forward(inputs / 2), targets, reduction="sum")


def test_a_student_that_answers_as_its_teacher_has_the_loss_of_the_labels_alone() -> None:
    objective = SoftTargetObjective(Labels(), teacher=lambda views: LOGITS.log_softmax(1), weight=0.7)
    loss = objective(lambda views: LOGITS, torch.ones(2, 3), TARGETS, IDS)
    assert loss.item() == pytest.approx(
        0.3 * functional.cross_entropy(LOGITS, TARGETS, reduction="sum").item(), rel=1e-5
    )


def test_the_divergence_is_that_of_softened_answers_summed_over_the_samples() -> None:
    other = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    objective = SoftTargetObjective(Labels(), teacher=lambda views: other, weight=1.0, temperature=2.0)
    loss = objective(lambda views: LOGITS, torch.ones(2, 3), TARGETS, IDS)
    teacher, student = (other / 2).softmax(1), (LOGITS / 2).log_softmax(1)
    assert loss.item() == pytest.approx(4 * (teacher * (teacher.log() - student)).sum().item(), rel=1e-5)


def test_the_teacher_sees_what_the_student_sees_and_is_not_trained() -> None:
    seen: list[Tensor] = []
    weight = torch.ones(3, requires_grad=True)

    def teacher(views: Tensor) -> Tensor:
        seen.append(views)
        return views * weight

    student = torch.zeros(3, requires_grad=True)
    objective = SoftTargetObjective(Labels(), teacher)
    objective(lambda views: views * student, torch.ones(2, 3), TARGETS, IDS).backward()
    assert torch.equal(seen[0], torch.full((2, 3), 0.5))
    assert weight.grad is None and student.grad is not None and bool(student.grad.abs().sum() > 0)


def test_the_normalizer_is_that_of_the_labels() -> None:
    assert SoftTargetObjective(Labels(), lambda views: views).normalizer(TARGETS) == 2
