"""The confusion matrix, and precision, recall and F1 from counts of hits, calls and support.

Every function accepts any number of leading axes, so the same formula serves one set and a thousand resamples of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Return counts `(classes, classes) int64`: row = true class, column = predicted class."""
    cells = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def cells_of(matrix: Ints) -> dict[str, list[int]]:
    """Return the nonzero cells as three lists: the indices of the `true` and `predicted` classes, and `images`.

    A set of n images has at most n such cells, for any number of classes.
    """
    rows, columns = np.nonzero(matrix)
    return {"true": rows.tolist(), "predicted": columns.tolist(), "images": matrix[rows, columns].tolist()}


def matrix_of(stored: object, classes: int) -> Ints:
    """Return the stored matrix: the result of `cells_of`, or all rows as in files of raytl 0.1.0.

    Raises:
        ValueError: the classes differ, or a value is not a count.
    """
    if isinstance(stored, Mapping):
        rows, columns, images = (_counts(stored[name], 1) for name in ("true", "predicted", "images"))
        if not len(rows) == len(columns) == len(images):
            raise ValueError("the lists of the confusion matrix differ in length")
        if len(rows) and max(rows.max(), columns.max()) >= classes:
            raise ValueError(f"the confusion matrix has a class beyond the {classes} of the model")
        matrix = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(matrix, (rows, columns), images)
        return matrix
    dense = _counts(stored, 2)
    if dense.shape != (classes, classes):
        raise ValueError(f"the confusion matrix is {dense.shape}, but there are {classes} classes")
    return dense


def _counts(values: object, axes: int) -> Ints:
    """Return nonnegative integers as an array with `axes` axes; the list may be empty."""
    counts = np.asarray(values)
    if counts.ndim != axes or (counts.size and (counts.dtype.kind not in "iu" or int(counts.min()) < 0)):
        raise ValueError("the confusion matrix holds values that are not counts")
    return counts.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts `(..., classes)`: `hits` correctly predicted, `calls` predicted, `support` of the true class."""

    hits: Ints
    calls: Ints
    support: Ints


def tally(matrix: Ints) -> Tally:
    """Return the tally of a confusion matrix `(classes, classes)`."""
    return Tally(hits=np.diagonal(matrix).copy(), calls=matrix.sum(axis=0), support=matrix.sum(axis=1))


def precision(counts: Tally) -> Floats:
    """Return the fraction of predictions that are correct, `(..., classes)`; NaN for a class never predicted."""
    return _ratio(counts.hits, counts.calls)


def recall(counts: Tally) -> Floats:
    """Return the fraction of each class that is predicted correctly, `(..., classes)`; NaN for an absent class."""
    return _ratio(counts.hits, counts.support)


def f1(counts: Tally) -> Floats:
    """Return the harmonic mean of precision and recall, `(..., classes)`; NaN for a class neither present nor predicted."""
    return _ratio(2 * counts.hits, counts.calls + counts.support)


def balanced_accuracy(counts: Tally) -> Floats:
    """Return the mean recall over the classes that occur, `(...)`."""
    return _mean_of_defined(recall(counts))


def macro_f1(counts: Tally) -> Floats:
    """Return the mean F1 over the classes that occur or are predicted, `(...)` (as scikit-learn's default labels)."""
    return _mean_of_defined(f1(counts))


def _ratio(part: Ints, whole: Ints) -> Floats:
    nan = np.full(part.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nan, where=whole > 0))


def _mean_of_defined(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    return np.asarray(np.where(defined, values, 0.0).sum(axis=-1) / np.maximum(defined.sum(axis=-1), 1))
