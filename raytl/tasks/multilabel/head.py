"""Solve the head of a multi-label classifier: one logistic regression a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.config.schema import Experiment
from raytl.models.probe import Probe
from raytl.models.solved_head import OnStep
from raytl.tasks.multilabel import probe
from raytl.tasks.multilabel.loss import label_loss
from raytl.tasks.multilabel.scores import metrics, probabilities
from raytl.tasks.multilabel.targets import encode
from raytl.tasks.multilabel.thresholds import best_thresholds
from raytl.tasks.probe_solver import HeadInputs


def solve_head(
    experiment: Experiment,
    train: HeadInputs,
    val: HeadInputs,
    classes: Sequence[str],
    intercept: bool,
    on_step: OnStep,
) -> Probe:
    """Return the head solved on `train` by binary cross-entropy, with the weights of `experiment`; the penalty takes the place of
    label smoothing."""
    vectors, val_vectors = (encode(part.samples, classes) for part in (train, val))

    def measure(logits: NDArray[np.float64]) -> dict[str, float]:
        table = probabilities(logits)
        scored = metrics(table, val_vectors, best_thresholds(table, val_vectors))
        return {f"val/{name}": value for name, value in scored.items()}

    return probe.solve(
        train.features,
        torch.from_numpy(vectors),
        val.features,
        torch.from_numpy(val_vectors),
        replace(label_loss(experiment.train, classes, vectors), kind="cross_entropy", label_smoothing=0.0),
        measure,
        intercept=intercept,
        on_step=on_step,
    )
