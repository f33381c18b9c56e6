"""Train on the answers of a teacher beside the labels: knowledge distillation.

Sources: Hinton et al. 2015, Distilling the knowledge in a neural network; Beyer et al. 2022, Knowledge distillation: a good
teacher is patient and consistent (the teacher sees the same augmented view as the student).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raytl.tasks.task import Objective

Teacher = Callable[[Tensor], Tensor]
"""Return the logarithms of the teacher's probabilities `(b, classes) float32` for normalized inputs of the student."""
SOFT_WEIGHT, TEMPERATURE = 0.7, 2.0


@dataclass(frozen=True)
class SoftTargetObjective:
    """The objective `labels`, and the divergence from the teacher's answers, softened by `temperature`, with the weight `weight`.

    The labels' objective may mix images: the teacher answers for what the student saw.
    """

    labels: Objective
    teacher: Teacher
    weight: float = SOFT_WEIGHT
    temperature: float = TEMPERATURE

    def normalizer(self, targets: Any) -> float | None:
        """Return the normalizer of the labels' objective."""
        return self.labels.normalizer(targets)

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Any, ids: Tensor) -> Tensor:
        """Return the loss of the labels and the divergence, summed over the samples."""
        seen: list[tuple[Tensor, Tensor]] = []

        def recorded(views: Tensor, *more: Any) -> Any:
            logits = forward(views, *more)
            seen.append((views, logits))
            return logits

        hard = self.labels(recorded, inputs, targets, ids)
        views, logits = seen[-1]
        with torch.no_grad():
            soft = (self.teacher(views) / self.temperature).softmax(dim=1)
        student = functional.log_softmax(logits.float() / self.temperature, dim=1)
        divergence = functional.kl_div(student, soft, reduction="sum") * self.temperature**2
        return (1 - self.weight) * hard + self.weight * divergence
