"""Single-label classification: the loss per sample, class weights, and the comparison of two checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raytl.config.schema import TrainConfig
from raytl.data.unicode_names import nfc
from raytl.errors import ConfigError
from raytl.models.constants import constant


@dataclass(frozen=True)
class Loss:
    """The loss of each sample: cross-entropy, focal or generalized cross-entropy, smoothed, weighted by class.

    The caller divides the sum by the size of the global batch, so that the value does not depend on the division of the
    batch into workers and micro-batches.
    """

    focal_gamma: float | None
    label_smoothing: float
    weights: tuple[float, ...] | None
    gce_q: float | None = None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return `(batch,) float32` from logits `(batch, classes)` and targets: `(batch,) int64` or mixed `(batch, classes)`."""
        logits = logits.float()
        classes = logits.shape[1]
        soft = functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        if self.label_smoothing:
            soft = soft * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        log_probabilities = functional.log_softmax(logits, dim=1)
        if self.gce_q is None:
            terms = -soft * log_probabilities
        else:
            # Zhang & Sabuncu 2018, eq. 6: (1 - p^q) / q of the label, its mean over a soft target; exact for small q
            terms = -soft * torch.expm1(self.gce_q * log_probabilities) / self.gce_q
        if self.focal_gamma is not None:
            # Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 4, summed over a soft target.
            terms = terms * (1.0 - functional.softmax(logits, dim=1)) ** self.focal_gamma
        if self.weights is not None:
            terms = terms * constant(self.weights, logits.device)
        return terms.sum(dim=1)


def loss(config: TrainConfig, counts: Mapping[str, int]) -> Loss:
    """Return the loss of `config`; `counts` is the number of training samples by class, in class order."""
    return Loss(
        focal_gamma=config.focal_gamma if config.loss == "focal" else None,
        label_smoothing=config.label_smoothing,
        weights=class_weights(config, counts),
        gce_q=config.gce_q if config.loss == "gce" else None,
    )


def class_weights(config: TrainConfig, counts: Mapping[str, int]) -> tuple[float, ...] | None:
    """Return the weight of each class, scaled to a mean of 1 over the training samples; None if all are equal.

    Raises:
        ConfigError: a weight is not positive, or its class is not in the data.
    """
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        raw = np.array([1.0 / count for count in counts.values()])
    else:
        given = {nfc(name): weight for name, weight in config.class_weights.items()}
        _check_weights(given, list(counts))
        raw = np.array([given.get(name, 1.0) for name in counts])
    sizes = np.array(list(counts.values()), dtype=float)
    scaled = raw * sizes.sum() / (raw * sizes).sum()
    return tuple(float(weight) for weight in scaled)


def _check_weights(weights: Mapping[str, float], classes: Sequence[str]) -> None:
    unknown = [name for name in weights if name not in classes]
    if unknown:
        raise ConfigError(
            f"train.class_weights: {', '.join(map(repr, unknown))} is not a class of the data; expected: {', '.join(classes)}"
        )
    wrong = [f"{name}: {weight}" for name, weight in weights.items() if not weight > 0]
    if wrong:
        raise ConfigError(f"train.class_weights: {', '.join(wrong)}: expected numbers above 0")
