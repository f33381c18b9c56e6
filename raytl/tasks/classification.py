"""Single-label classification: the loss a sample, class imbalance, and the order between two checkpoints."""

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

_LOWER_IS_BETTER = {"val/log_loss"}


@dataclass(frozen=True)
class Loss:
    """The loss of each sample: cross-entropy or focal, smoothed, weighted by class.

    Losses are not averaged: the caller divides the sum by the size of the global batch, so that the value
    does not depend on how the batch is spread over workers and micro-batches.
    """

    focal_gamma: float | None
    label_smoothing: float
    weights: tuple[float, ...] | None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """`(batch,) float32` from logits `(batch, classes)` and targets, `(batch,) int64` or mixed `(batch, classes)`."""
        logits = logits.float()
        classes = logits.shape[1]
        soft = functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        if self.label_smoothing:
            soft = soft * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        terms = -soft * functional.log_softmax(logits, dim=1)
        if self.focal_gamma is not None:
            # Lin et al. 2017, Focal Loss for Dense Object Detection, eq. 4, summed over a soft target.
            terms = terms * (1.0 - functional.softmax(logits, dim=1)) ** self.focal_gamma
        if self.weights is not None:
            terms = terms * torch.tensor(self.weights, device=logits.device)
        return terms.sum(dim=1)


def loss(config: TrainConfig, counts: Mapping[str, int]) -> Loss:
    """The loss that `config` asks for; `counts` holds the training samples of each class, in class order."""
    return Loss(
        focal_gamma=config.focal_gamma if config.loss == "focal" else None,
        label_smoothing=config.label_smoothing,
        weights=class_weights(config, counts),
    )


def class_weights(config: TrainConfig, counts: Mapping[str, int]) -> tuple[float, ...] | None:
    """Each class's weight, scaled so that the mean over the training samples is 1; None where all are equal.

    Raises:
        ConfigError: weights for classes that are not in the data, or not positive.
    """
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        raw = np.array([1.0 / count for count in counts.values()])
    else:
        given = {nfc(name): weight for name, weight in config.class_weights.items()}
        _check(given, list(counts))
        raw = np.array([given.get(name, 1.0) for name in counts])
    sizes = np.array(list(counts.values()), dtype=float)
    scaled = raw * sizes.sum() / (raw * sizes).sum()
    return tuple(float(weight) for weight in scaled)


def _check(weights: Mapping[str, float], classes: Sequence[str]) -> None:
    unknown = [name for name in weights if name not in classes]
    if unknown:
        raise ConfigError(
            f"train.class_weights: {', '.join(map(repr, unknown))} is not a class of the data; classes: {', '.join(classes)}"
        )
    wrong = [f"{name}: {weight}" for name, weight in weights.items() if not weight > 0]
    if wrong:
        raise ConfigError(f"train.class_weights: {', '.join(wrong)}: expected numbers above 0")


def better(candidate: Mapping[str, float], best: Mapping[str, float] | None, metric: str) -> bool:
    """True when `candidate` beats `best` by `metric`; a tie goes to the lower `val/log_loss`."""
    return best is None or _rank(candidate, metric) > _rank(best, metric)


def _rank(metrics: Mapping[str, float], metric: str) -> tuple[float, float]:
    sign = -1.0 if metric in _LOWER_IS_BETTER else 1.0
    return sign * metrics[metric], -metrics["val/log_loss"]
