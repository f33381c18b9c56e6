"""Scores of a classifier from its probabilities: first the facts of each sample, then numbers over any draw of samples.

A score is always computed by `measure`, on the samples as they are or on a thousand resamples of them at once, so a
value and its interval come from the same formula. Classes are integers in [0, classes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics import confusion
from raytl.metrics.confusion import Floats, Ints, Tally

ECE_BINS = 15
PER_CLASS = ("precision", "recall", "f1", "support")
QUICK = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of each of n samples; all arrays `(n,)`, `k` = the k of top-k (0 = none)."""

    classes: int
    k: int
    targets: Ints
    predicted: Ints
    rank: Ints
    loss: Floats
    confidence: Floats


def softmax(logits: ArrayLike) -> Floats:
    """Probabilities `(n, classes) float64` of logits, computed in float64."""
    values = np.asarray(logits, dtype=np.float64)
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def top_k_for(classes: int) -> int:
    """The k that top-k accuracy is told at: 5, fewer with few classes, 0 where it would say nothing (2 classes)."""
    return min(5, classes - 1) if classes > 2 else 0


def facts(targets: ArrayLike, probabilities: ArrayLike) -> Facts:
    """The facts of n samples from `targets (n,)` and `probabilities (n, classes)`; ties go to the lower class."""
    wanted, table = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    assert table.ndim == 2 and wanted.shape == (len(table),), f"{wanted.shape} targets for {table.shape} probabilities"
    assert len(wanted) > 0, "no samples to score"
    assert wanted.min() >= 0 and wanted.max() < table.shape[1], "a target outside the classes"
    own = table[np.arange(len(table)), wanted]
    return Facts(
        classes=table.shape[1],
        k=top_k_for(table.shape[1]),
        targets=wanted,
        predicted=table.argmax(axis=1).astype(np.int64),
        rank=_rank(table, wanted, own),
        loss=-np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)),
        confidence=table.max(axis=1),
    )


def measure(known: Facts, draws: Ints) -> dict[str, NDArray[np.float64]]:
    """Every score over each row of `draws (r, m)` (sample numbers): `(r,)` each, `(r, classes)` those of `PER_CLASS`.

    Log loss clips probabilities at float64's epsilon, as scikit-learn; ECE has 15 equal bins (Guo et al. 2017).
    """
    counts = _tally(known, draws)
    measured = {
        "accuracy": counts.hits.sum(axis=1) / draws.shape[1],
        "balanced_accuracy": confusion.balanced_accuracy(counts),
        "macro_f1": confusion.macro_f1(counts),
        "log_loss": known.loss[draws].mean(axis=1),
        "ece": _ece(known, draws),
        "precision": confusion.precision(counts),
        "recall": confusion.recall(counts),
        "f1": confusion.f1(counts),
        "support": counts.support.astype(np.float64),
    }
    if known.k:
        measured[f"top_{known.k}_accuracy"] = (known.rank < known.k)[draws].mean(axis=1)
    return measured


def scores(targets: ArrayLike, logits: ArrayLike) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and log loss of `logits (n, classes)`: what validation watches."""
    known = facts(targets, softmax(logits))
    measured = measure(known, np.arange(len(known.targets))[None])
    return {name: float(measured[name][0]) for name in QUICK}


def _rank(table: Floats, targets: Ints, own: Floats) -> Ints:
    """How many classes come before the true one, `(n,)`."""
    above = (table > own[:, None]).sum(axis=1)
    tied_before = (table == own[:, None]) & (np.arange(table.shape[1]) < targets[:, None])
    return np.asarray(above + tied_before.sum(axis=1), dtype=np.int64)


def _tally(known: Facts, draws: Ints) -> Tally:
    targets, predicted = known.targets[draws], known.predicted[draws]
    return Tally(
        hits=_count(np.where(targets == predicted, targets, known.classes), known.classes + 1)[:, :-1],
        calls=_count(predicted, known.classes),
        support=_count(targets, known.classes),
    )


def _count(values: Ints, size: int) -> Ints:
    """How often each of [0, size) is in each row: `(r, m) -> (r, size)`."""
    return _sum(values, size, None).astype(np.int64)


def _sum(values: Ints, size: int, weights: Floats | None) -> Floats:
    rows = len(values)
    cells = values + size * np.arange(rows)[:, None]
    flat = None if weights is None else weights.ravel()
    return np.bincount(cells.ravel(), weights=flat, minlength=rows * size).reshape(rows, size).astype(np.float64)


def _ece(known: Facts, draws: Ints) -> Floats:
    """Expected calibration error, `(r,)`: sum over bins of |hits - confidence| / m."""
    edges = np.linspace(0.0, 1.0, ECE_BINS + 1)[1:-1]
    bins = np.searchsorted(edges, known.confidence, side="right")
    gap = (known.targets == known.predicted) - known.confidence
    return np.asarray(np.abs(_sum(bins[draws], ECE_BINS, gap[draws])).sum(axis=1) / draws.shape[1])
