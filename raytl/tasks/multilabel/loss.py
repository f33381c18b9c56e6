"""The loss of multi-label classification: one binary decision a label; unknown labels count nothing.

`train.loss` reads as: `cross_entropy` = binary cross-entropy, `focal` = its focal form (Lin et al. 2017), `asymmetric` =
the asymmetric loss (Ridnik et al. 2021), which discounts easy negatives more than easy positives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raytl.config.schema import TrainConfig
from raytl.data.unicode_names import nfc
from raytl.errors import ConfigError
from raytl.models.constants import constant
from raytl.tasks.multilabel.targets import UNKNOWN, Vectors

GAMMA_NEGATIVE, MARGIN = 4.0, 0.05
"""The focusing and the probability margin of negatives in the asymmetric loss, as in the paper; positives have no focusing."""
LARGEST_WEIGHT = 10.0
"""Balanced weights are in [1/10, 10]: with larger ones, the few positives of a rare label decide every step."""


@dataclass(frozen=True)
class LabelLoss:
    """The loss of each label of each image; `weights (labels,)` multiply the loss of present labels."""

    kind: str
    focal_gamma: float
    label_smoothing: float
    weights: tuple[float, ...] | None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return `(b, labels) float32` from logits and targets `(b, labels)`: 1, 0 or -1, whose loss is zero."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        soft = targets.to(logits.dtype)
        if self.label_smoothing:
            soft = soft * (1.0 - self.label_smoothing) + self.label_smoothing / 2
        positive, negative = self._terms(logits)
        if self.weights is not None:
            positive = positive * constant(self.weights, logits.device, logits.dtype)
        loss = soft * positive + (1.0 - soft) * negative
        return torch.where(targets == UNKNOWN, torch.zeros_like(loss), loss)

    def _terms(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each label if it is present, and if it is absent."""
        positive, negative = -functional.logsigmoid(logits), -functional.logsigmoid(-logits)
        match self.kind:
            case "focal":
                chance = torch.sigmoid(logits)
                return positive * (1.0 - chance) ** self.focal_gamma, negative * chance**self.focal_gamma
            case "asymmetric":
                chance = torch.sigmoid(logits)
                shifted = (chance - MARGIN).clamp(min=0.0)
                return positive, -torch.log1p(-shifted) * shifted**GAMMA_NEGATIVE
            case _:
                return positive, negative


@dataclass(frozen=True)
class LabelObjective:
    """The `loss` summed over all known labels of all images, and divided by their number."""

    loss: LabelLoss
    labels: int

    def normalizer(self, targets: Tensor) -> float:
        """Return the number of known labels."""
        return float((targets != UNKNOWN).sum())

    def __call__(self, forward: Callable[..., Any], inputs: Tensor, targets: Tensor, ids: Tensor) -> Tensor:
        """Return the summed loss of `inputs` with labels `targets (b, labels)`.

        Raises:
            ValueError: the output of the network has another shape than `(b, labels)`.
        """
        logits = forward(inputs)
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if shape != (len(inputs), self.labels):
            raise ValueError(f"its output is {shape}, expected {(len(inputs), self.labels)}")
        return self.loss(logits, targets.to(logits.device, non_blocking=True)).sum()


def label_loss(config: TrainConfig, labels: Sequence[str], vectors: Vectors) -> LabelLoss:
    """Return the loss of `config`; `vectors (n, labels)` are the training images."""
    return LabelLoss(
        kind=config.loss,
        focal_gamma=config.focal_gamma,
        label_smoothing=config.label_smoothing,
        weights=positive_weights(config, labels, vectors),
    )


def positive_weights(config: TrainConfig, labels: Sequence[str], vectors: Vectors) -> tuple[float, ...] | None:
    """Return the weight of a label's presence over that of its absence; None if all are 1.

    `balanced` = absent / present training images of the label, between 1/10 and 10. Given weights are taken as they are.

    Raises:
        ConfigError: a weight is not positive, or its label is not in the data.
    """
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        present, absent = (vectors == 1).sum(axis=0), (vectors == 0).sum(axis=0)
        ratios = np.clip(absent / np.maximum(present, 1), 1 / LARGEST_WEIGHT, LARGEST_WEIGHT)
        return tuple(float(ratio) for ratio in ratios)
    given = {nfc(name): weight for name, weight in config.class_weights.items()}
    _check_weights(given, labels)
    return tuple(given.get(name, 1.0) for name in labels)


def _check_weights(weights: Mapping[str, float], labels: Sequence[str]) -> None:
    unknown = [repr(name) for name in weights if name not in labels]
    wrong = [f"{name}: {weight}" for name, weight in weights.items() if not weight > 0]
    faults = [f"{', '.join(unknown)} is not a label of the data; expected: {', '.join(labels)}"] if unknown else []
    faults += [f"{', '.join(wrong)}: expected numbers above 0"] if wrong else []
    if faults:
        raise ConfigError("\n".join(f"train.class_weights: {fault}" for fault in faults))


def prior_logits(vectors: Vectors) -> Tensor:
    """Return the log-odds of each label among the known training images, `(labels,) float32`.

    One present and one absent image are added (Laplace), so that they are finite.
    """
    present, absent = (vectors == 1).sum(axis=0) + 1, (vectors == 0).sum(axis=0) + 1
    return torch.from_numpy(np.log(present / absent).astype(np.float32))
