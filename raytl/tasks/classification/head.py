"""Solve the head of a classifier: multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raytl.config.schema import Experiment
from raytl.models import probe
from raytl.models.solved_head import OnStep
from raytl.tasks.classification.loss import class_weights
from raytl.tasks.classification.targets import class_counts, encode_targets
from raytl.tasks.probe_solver import HeadInputs


def solve_head(
    experiment: Experiment,
    train: HeadInputs,
    val: HeadInputs,
    classes: Sequence[str],
    intercept: bool,
    on_step: OnStep,
) -> probe.Probe:
    """Return the head solved on `train`, with the weights of `experiment`; the penalty takes the place of label smoothing."""
    targets, val_targets = (torch.from_numpy(encode_targets(part.samples, classes)) for part in (train, val))
    return probe.solve(
        train.features,
        targets,
        val.features,
        val_targets,
        len(classes),
        weights=class_weights(experiment.train, class_counts(train.samples, classes)),
        intercept=intercept,
        on_step=on_step,
    )
