"""The scores of each epoch: average precision, F1 at the best thresholds, and the binary log loss, over known labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Tally, f1
from raytl.tasks.multilabel.targets import Vectors
from raytl.tasks.task import Confusion

METRICS = ("map", "macro_f1", "micro_f1", "log_loss")

NOTHING = "(absent)"
"""The name of the row and column of labels that are absent."""

Floats = NDArray[np.float64]


def probabilities(logits: ArrayLike) -> Floats:
    """Return the sigmoid of logits, computed in float64."""
    values = np.asarray(logits, dtype=np.float64)
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))


def metrics(table: Floats, vectors: Vectors, present: NDArray[np.bool_]) -> dict[str, float]:
    """Return the scores of probabilities `table`, truth `vectors` and decisions `present`, all `(n, labels)`."""
    known, true = vectors >= 0, vectors == 1
    counts = Tally((present & true).sum(0), (present & known).sum(0), true.sum(0))
    whole = Tally(*(np.atleast_1d(part.sum()) for part in (counts.hits, counts.calls, counts.support)))
    precisions = [average_precision(table[rows, label], true[rows, label]) for label, rows in enumerate(known.T)]
    own = np.clip(np.where(true, table, 1.0 - table), np.finfo(np.float64).eps, 1.0)
    return {
        "map": _mean(np.array(precisions)),
        "macro_f1": _mean(f1(counts)),
        "micro_f1": _mean(f1(whole)),
        "log_loss": float(-np.log(own[known]).mean()) if known.any() else float("nan"),
    }


def confusion_of(present: NDArray[np.bool_], vectors: Vectors, labels: Sequence[str]) -> Confusion:
    """Return the hits of each label in the diagonal, its misses in the last column and its false alarms in the last row."""
    n = len(labels)
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    counts[range(n), range(n)] = (present & (vectors == 1)).sum(axis=0)
    counts[:n, n] = (~present & (vectors == 1)).sum(axis=0)
    counts[n, :n] = (present & (vectors == 0)).sum(axis=0)
    return Confusion((*labels, NOTHING), counts)


def average_precision(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """Return the mean of the precision over the steps of recall, as scikit-learn's; NaN without a present image."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(truth[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    total = truth.sum()
    return float((np.diff(hits, prepend=0) * precision).sum() / total) if total else float("nan")


def _mean(values: Floats) -> float:
    """Return the mean of the values that are defined; NaN if none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
