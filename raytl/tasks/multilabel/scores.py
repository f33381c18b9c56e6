"""The scores of each epoch: average precision, F1 at the best thresholds, and the binary log loss, over known labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics import multilabel
from raytl.metrics.draws import values
from raytl.tasks.multilabel.targets import Vectors
from raytl.tasks.task import Confusion

METRICS = ("map", "macro_f1", "micro_f1", "log_loss")

NOTHING = "absent"
"""The name of the row and column of labels that are absent."""

Floats = NDArray[np.float64]


def probabilities(logits: ArrayLike) -> Floats:
    """Return the sigmoid of logits, computed in float64."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


def metrics(table: Floats, vectors: Vectors, thresholds: ArrayLike) -> dict[str, float]:
    """Return the scores of probabilities `table` and truth `vectors`, both `(n, labels)`, with a threshold a label."""
    facts = multilabel.facts(vectors, table, thresholds)
    scored = values(lambda draws: multilabel.measure(facts, draws, METRICS), len(table))
    return {name: float(value) for name, value in scored.items()}


def confusion_of(present: NDArray[np.bool_], vectors: NDArray[np.integer[Any]], labels: Sequence[str]) -> Confusion:
    """Return the hits of each label in the diagonal, its misses in the last column and its false alarms in the last row."""
    n = len(labels)
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    counts[range(n), range(n)] = (present & (vectors == 1)).sum(axis=0)
    counts[:n, n] = (~present & (vectors == 1)).sum(axis=0)
    counts[n, :n] = (present & (vectors == 0)).sum(axis=0)
    return Confusion((*labels, NOTHING), counts)
