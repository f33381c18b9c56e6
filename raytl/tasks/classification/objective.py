"""The objective of single-label classification: mix the batch, run the network, sum the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from raytl.tasks.classification.loss import Loss
from raytl.tasks.classification.mix import Mix


@dataclass(frozen=True)
class ClassificationObjective:
    """The `loss` of the logits of mixed images, summed over the samples."""

    loss: Loss
    mix: Mix | None
    classes: int

    def normalizer(self, targets: Tensor) -> None:
        """Return None: the loss is divided by the number of samples."""
        return

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs` with classes `targets (b,)`.

        Raises:
            ValueError: the output of the network has another shape than `(b, classes)`.
        """
        targets = targets.to(inputs.device, non_blocking=True)
        if self.mix is not None:
            inputs, targets = self.mix(inputs, targets)
        logits = forward(inputs)
        _check_shape(logits, (len(inputs), self.classes))
        return self.loss(logits, targets).sum()


def _check_shape(logits: object, expected: tuple[int, int]) -> None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != expected:
        raise ValueError(f"its output is {shape}, expected {expected}")
