"""What class counts say: the confusion matrix, and precision, recall and F1 from hits, calls and support.

Every function takes any number of leading axes, so the same formula reads one set and a thousand resamples of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts `(classes, classes) int64`: row = true class, column = predicted class."""
    cells = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts `(..., classes)`: `hits` rightly called, `calls` predicted, `support` truly there."""

    hits: Ints
    calls: Ints
    support: Ints


def tally(matrix: Ints) -> Tally:
    """The tally of a confusion matrix `(classes, classes)`."""
    return Tally(hits=np.diagonal(matrix).copy(), calls=matrix.sum(axis=0), support=matrix.sum(axis=1))


def precision(counts: Tally) -> Floats:
    """Share of the calls that were right, `(..., classes)`; NaN for a class never called."""
    return _ratio(counts.hits, counts.calls)


def recall(counts: Tally) -> Floats:
    """Share of the class that was found, `(..., classes)`; NaN for a class that does not occur."""
    return _ratio(counts.hits, counts.support)


def f1(counts: Tally) -> Floats:
    """Harmonic mean of precision and recall, `(..., classes)`; NaN for a class neither there nor called."""
    return _ratio(2 * counts.hits, counts.calls + counts.support)


def balanced_accuracy(counts: Tally) -> Floats:
    """Mean recall over the classes that occur, `(...)`."""
    return _mean_of_known(recall(counts))


def macro_f1(counts: Tally) -> Floats:
    """Mean F1 over the classes that occur or were called, `(...)` (as scikit-learn's default labels)."""
    return _mean_of_known(f1(counts))


def _ratio(part: Ints, whole: Ints) -> Floats:
    nan = np.full(part.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nan, where=whole > 0))


def _mean_of_known(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))
