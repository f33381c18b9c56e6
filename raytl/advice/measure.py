"""Measure how well frozen features separate the classes, and compare two networks on the same images. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from raytl.metrics.calibration import fit_temperature
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import ratio
from raytl.metrics.intervals import Interval, estimates, mean_end
from raytl.metrics.neighbors import neighbor_classes
from raytl.metrics.paired import Paired, paired_classes
from raytl.metrics.scores import softmax
from raytl.metrics.transferability import h_score, log_evidence
from raytl.models.frozen import probe_folds, probe_scores

METRIC = "balanced_accuracy"
SIGNIFICANCE = 0.025
"""One-tailed, divided by the number of comparisons (Bonferroni)."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Held-out answers of a candidate and its scores: `probabilities (n, k)` of the probe, calibrated by one temperature."""

    probabilities: Floats
    probe: Interval
    neighbors: Interval
    log_evidence: float
    h_score: float

    @property
    def predicted(self) -> Ints:
        """Return the class that the probe answers for each image, `(n,)`."""
        return np.asarray(self.probabilities.argmax(axis=1))


def measured(features: Tensor, classes: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> Measured:
    """Measure `features (n, d)` of images of `classes (n,)`, 0 to k - 1. Each answer comes from the other folds; images of one
    of `groups (n,)` are in one fold."""
    scores = probe_scores(features, classes, groups=groups)[""]
    by_neighbors = neighbor_classes(features.numpy(), classes, probe_folds(classes, groups))
    correct = np.stack([scores.argmax(axis=1) == classes, by_neighbors == classes])
    probe, neighbors = accuracy_intervals(correct, classes)
    table = features.numpy()
    return Measured(
        softmax(scores / fit_temperature(classes, scores)),
        probe,
        neighbors,
        log_evidence(table, classes),
        h_score(table, classes),
    )


def class_weights(classes: NDArray[np.int64]) -> Floats:
    """Return a weight for each image, `(n,)`, with sum 1 and the same sum for each class."""
    counts = np.bincount(classes)
    return np.asarray(1.0 / (counts[classes] * np.count_nonzero(counts)))


def accuracy_intervals(correct: NDArray[np.bool_], classes: NDArray[np.int64]) -> tuple[Interval, ...]:
    """Return the balanced accuracy of each row of `correct (m, n)` with its 95 % interval, a bootstrap over images."""
    weights = class_weights(classes)

    def measure(draws: Ints) -> dict[str, Floats]:
        drawn = weights[draws]
        return {METRIC: np.stack([ratio((drawn * row[draws]).sum(1), drawn.sum(1)) for row in correct], axis=1)}

    images = np.bincount(classes).tolist()
    return tuple(mean_end(each, images) for each in estimates(measure, len(classes))[METRIC])


def compared(classes: NDArray[np.int64], other: Measured, best: Measured) -> Paired:
    """Return what `best` gains over `other` on the same images, with its interval and p-values."""
    return paired_classes(classes, other.predicted, best.predicted, METRIC)


def is_worse(gain: Paired, comparisons: int) -> bool:
    """Return whether the other candidate is worse than the best beyond chance, as one of `comparisons`."""
    return gain.low > 0 and gain.p_better * comparisons <= SIGNIFICANCE
