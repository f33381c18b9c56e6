"""Pseudo-labels in rounds: a classifier on frozen features labels the images that it is most sure of, and learns from them.

After Lee 2013, with a threshold for each class (Zou et al. 2018). The classifier is a ridge regression on standardized
features, whose scores become probabilities by a temperature that left-out labelled images choose.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from raytl.labelling.confident import confident
from raytl.metrics.calibration import fit_temperature
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.scores import softmax
from raytl.models.frozen import Ridge
from raytl.tasks.probe_solver import even_rows

ROUNDS = 2
PENALTY = 1.0
MOST_IMAGES = 4000
"""The classifier learns from about this many images at most: its time grows with their cube."""


def pseudo_labelled(
    features: NDArray[np.float32], classes: Ints, count: int, fraction: float, rounds: int = ROUNDS
) -> Floats:
    """Return the probabilities of the `count` classes for images without labels, `(n - m, count)`.

    `features (n, d)` are those of the m labelled images, of `classes (m,)`, and behind them those of the others. Each round but
    the last labels a larger part of them, up to `fraction` of each class, and the next one learns from it.
    """
    labelled, others = features[: len(classes)], features[len(classes) :]
    probabilities = learned(labelled, classes, count, others)
    for number in range(1, rounds):
        given = confident(probabilities, fraction * number / rounds)
        inputs = np.concatenate([labelled, others[given.rows]])
        probabilities = learned(inputs, np.concatenate([classes, given.classes]), count, others, len(classes))
    return probabilities


def learned(
    inputs: NDArray[np.float32], classes: Ints, count: int, others: NDArray[np.float32], certain: int | None = None
) -> Floats:
    """Return the probabilities of the classes of `others (m, d)`, `(m, count)`, from a classifier that learned from `inputs (n, d)`
    of `classes (n,)`. The first `certain` images have true labels, which choose the temperature; None is all."""
    true_labels = len(classes) if certain is None else certain
    ridge, rows = fitted(inputs, classes, count, true_labels)
    left_out = ridge.left_out(np.arange(len(rows)))[rows < true_labels]
    temperature = fit_temperature(classes[rows[rows < true_labels]], left_out)
    return np.asarray(softmax(ridge(torch.from_numpy(others).double()) / temperature))


def fitted(inputs: NDArray[np.float32], classes: Ints, count: int, certain: int) -> tuple[Ridge, Ints]:
    """Return a classifier that learned from about `MOST_IMAGES` rows of `inputs (n, d)` at most, and these rows: the first `certain`
    ones if they fit, and of the others an even part of each class, at least one."""
    rows = np.arange(len(classes))
    if len(rows) > MOST_IMAGES:
        first = certain if certain < MOST_IMAGES else 0
        rows = np.concatenate([rows[:first], first + even_rows(classes[first:], MOST_IMAGES - first)])
    return Ridge(torch.from_numpy(inputs[rows]).double(), classes[rows], count, PENALTY), rows
