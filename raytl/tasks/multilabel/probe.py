"""Solve the head: one logistic regression a label on the features of the frozen network, with one penalty strength for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.models.probe import Probe
from raytl.models.solved_head import PATIENCE, STRENGTHS, Head, OnStep, solve_path
from raytl.tasks.multilabel.loss import LabelLoss

Measure = Callable[[NDArray[np.float64]], dict[str, float]]
"""From the validation logits `(m, labels)` to scores with keys `val/...`."""


def solve(
    train: Tensor,
    targets: Tensor,
    val: Tensor,
    val_targets: Tensor,
    loss: LabelLoss,
    measure: Measure,
    *,
    strengths: tuple[float, ...] = STRENGTHS,
    intercept: bool = True,
    on_step: OnStep = lambda: None,
) -> Probe:
    """Solve heads for features `train (n, d)` with labels `targets (n, labels)`, and select their strengths on `val`.

    The best head has the lowest loss on the known labels of val, the soft one the strongest penalty with a loss within one
    standard error of it over the images (Breiman et al. 1984).

    Raises:
        ModelError: a feature is not finite.
    """
    started = time.monotonic()
    annotated = (targets >= 0).sum()
    heads: dict[float, Head] = {}
    losses: dict[float, tuple[float, float]] = {}
    scores: dict[float, dict[str, float]] = {}

    def mean_loss(logits: Tensor) -> Tensor:
        return loss(logits, targets).sum() / annotated

    for head, logits in solve_path(train, val, targets.shape[1], mean_loss, strengths, intercept, on_step):
        heads[head.strength], losses[head.strength] = head, _mean_and_error(loss(logits, val_targets), val_targets)
        scores[head.strength] = measure(logits.numpy())
        best = min(losses, key=lambda strength: losses[strength][0])
        if len(losses) > list(losses).index(best) + PATIENCE:
            break
    limit = sum(losses[best])
    soft = max(strength for strength, (mean, _) in losses.items() if mean <= limit)
    return Probe(heads[best], heads[soft], scores, time.monotonic() - started)


def _mean_and_error(losses: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the mean loss of the known labels and its standard error over the images (a ratio estimate)."""
    sums, counts = losses.sum(dim=1).double(), (targets >= 0).sum(dim=1).double()
    mean = sums.sum() / counts.sum()
    error = (sums - mean * counts).square().sum().sqrt() / counts.sum()
    return float(mean), float(error)
