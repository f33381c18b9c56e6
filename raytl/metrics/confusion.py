"""What class counts say: the confusion matrix, and precision, recall and F1 from hits, calls and support.

Every function takes any number of leading axes, so the same formula reads one set and a thousand resamples of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Counts `(classes, classes) int64`: row = true class, column = predicted class."""
    cells = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def cells_of(matrix: Ints) -> dict[str, list[int]]:
    """Return the cells that are not zero as three lists: the places of the `true` and `predicted` classes, and `images`.

    A set of n images has n such cells at most, whatever the number of classes.
    """
    rows, columns = np.nonzero(matrix)
    return {"true": rows.tolist(), "predicted": columns.tolist(), "images": matrix[rows, columns].tolist()}


def matrix_of(stored: object, classes: int) -> Ints:
    """Return the matrix that a file holds: what `cells_of` gave, or all rows as files of raytl 0.1.0 have them.

    Raises:
        ValueError: it is of other classes, or holds what no counts are.
    """
    if isinstance(stored, Mapping):
        rows, columns, images = (_counts(stored[name], 1) for name in ("true", "predicted", "images"))
        if not len(rows) == len(columns) == len(images):
            raise ValueError("the lists of the confusion matrix are of several lengths")
        if len(rows) and max(rows.max(), columns.max()) >= classes:
            raise ValueError(f"the confusion matrix names a class beyond the {classes} of the model")
        matrix = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(matrix, (rows, columns), images)
        return matrix
    dense = _counts(stored, 2)
    if dense.shape != (classes, classes):
        raise ValueError(f"the confusion matrix is {dense.shape}, and there are {classes} classes")
    return dense


def _counts(values: object, axes: int) -> Ints:
    """Return whole numbers from 0 on as an array with so many axes; a list of none is one too."""
    found = np.asarray(values)
    if found.ndim != axes or (found.size and (found.dtype.kind not in "iu" or int(found.min()) < 0)):
        raise ValueError("the confusion matrix holds other things than counts")
    return found.astype(np.int64)


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
