"""The validation split, each image exactly once on any number of workers, scored once over all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.data.loader import EvalLoader
from raytl.metrics.confusion import confusion_matrix
from raytl.metrics.gather import gather_rows
from raytl.metrics.scores import scores
from raytl.models.forward import predict_logits
from raytl.train.agree import average_
from raytl.train.phase import Phase
from raytl.train.steps import Setting


@dataclass(frozen=True)
class Validation:
    """Scores with keys `val/...`, and the confusion matrix `(classes, classes)`, true by predicted."""

    metrics: dict[str, float]
    confusion: NDArray[np.int64]


def validate(setting: Setting, phase: Phase, loader: EvalLoader | Iterable[object], classes: int) -> Validation:
    """Score the evaluated weights (the average where there is one); the same value on every rank."""
    average_(setting.world, list(phase.moving_buffers().values()))
    average = setting.average
    with average.swapped_in(phase.module) if average is not None else contextlib.nullcontext():
        ids, logits, targets = predict_logits(
            phase.module, loader, setting.preprocess, setting.device, setting.precision
        )
    _, (logits, targets) = gather_rows(setting.world, ids, logits, targets)
    return Validation(
        metrics={f"val/{name}": value for name, value in scores(targets, logits).items()},
        confusion=confusion_matrix(targets, logits.argmax(axis=1), classes),
    )
