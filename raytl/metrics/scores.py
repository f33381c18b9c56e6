"""Scores of a classifier from its probabilities: first facts about each sample, then scores over any draw of samples.

`measure` computes every score, on the samples themselves or on a thousand resamples at once, so a value and its
interval come from the same formula. Classes are integers in [0, classes).
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
    """The facts about n samples; all arrays are `(n,)`, and `k` is that of top-k accuracy (0 = none)."""

    classes: int
    k: int
    targets: Ints
    predicted: Ints
    rank: Ints
    loss: Floats
    confidence: Floats


def softmax(logits: ArrayLike) -> Floats:
    """Return probabilities `(n, classes) float64` of logits, computed in float64."""
    values = np.asarray(logits, dtype=np.float64)
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def top_k_for(classes: int) -> int:
    """Return the k of top-k accuracy: 5, fewer with few classes, and 0 (none) with two classes."""
    return min(5, classes - 1) if classes > 2 else 0


def facts(targets: ArrayLike, probabilities: ArrayLike) -> Facts:
    """Return the facts about n samples from `targets (n,)` and `probabilities (n, classes)`; ties go to the lower class."""
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    assert table.ndim == 2 and truth.shape == (len(table),), f"{truth.shape} targets for {table.shape} probabilities"
    assert len(truth) > 0, "no samples to score"
    assert truth.min() >= 0 and truth.max() < table.shape[1], "a target outside the classes"
    own = table[np.arange(len(table)), truth]
    return Facts(
        classes=table.shape[1],
        k=top_k_for(table.shape[1]),
        targets=truth,
        predicted=table.argmax(axis=1).astype(np.int64),
        rank=_rank(table, truth, own),
        loss=-np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)),
        confidence=table.max(axis=1),
    )


def measure(sample_facts: Facts, draws: Ints) -> dict[str, NDArray[np.float64]]:
    """Return every score over each row of `draws (r, m)` (sample indices): `(r,)`, or `(r, classes)` for `PER_CLASS`.

    Log loss clips probabilities at float64's epsilon, as in scikit-learn; ECE has 15 equal bins (Guo et al. 2017).
    """
    counts = _tally(sample_facts, draws)
    measured = {
        "accuracy": counts.hits.sum(axis=1) / draws.shape[1],
        "balanced_accuracy": confusion.balanced_accuracy(counts),
        "macro_f1": confusion.macro_f1(counts),
        "log_loss": sample_facts.loss[draws].mean(axis=1),
        "ece": _ece(sample_facts, draws),
        "precision": confusion.precision(counts),
        "recall": confusion.recall(counts),
        "f1": confusion.f1(counts),
        "support": counts.support.astype(np.float64),
    }
    if sample_facts.k:
        measured[f"top_{sample_facts.k}_accuracy"] = (sample_facts.rank < sample_facts.k)[draws].mean(axis=1)
    return measured


def confidence_bin(confidence: Floats) -> Ints:
    """Return the place of the bin of each confidence, of any shape: `ECE_BINS` bins of equal width from 0 to 1."""
    return np.asarray(np.searchsorted(np.linspace(0.0, 1.0, ECE_BINS + 1)[1:-1], confidence, side="right"))


def scores(targets: ArrayLike, logits: ArrayLike) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro F1 and log loss of `logits (n, classes)`, for validation."""
    sample_facts = facts(targets, softmax(logits))
    measured = measure(sample_facts, np.arange(len(sample_facts.targets))[None])
    return {name: float(measured[name][0]) for name in QUICK}


def _rank(table: Floats, targets: Ints, own: Floats) -> Ints:
    """Return the number of classes ranked above the true one, `(n,)`."""
    above = (table > own[:, None]).sum(axis=1)
    tied_before = (table == own[:, None]) & (np.arange(table.shape[1]) < targets[:, None])
    return np.asarray(above + tied_before.sum(axis=1), dtype=np.int64)


def _tally(sample_facts: Facts, draws: Ints) -> Tally:
    targets, predicted = sample_facts.targets[draws], sample_facts.predicted[draws]
    return Tally(
        hits=_count(np.where(targets == predicted, targets, sample_facts.classes), sample_facts.classes + 1)[:, :-1],
        calls=_count(predicted, sample_facts.classes),
        support=_count(targets, sample_facts.classes),
    )


def _count(values: Ints, size: int) -> Ints:
    """Count each of [0, size) in each row: `(r, m) -> (r, size)`."""
    return _sum(values, size, None).astype(np.int64)


def _sum(values: Ints, size: int, weights: Floats | None) -> Floats:
    rows = len(values)
    cells = values + size * np.arange(rows)[:, None]
    flat = None if weights is None else weights.ravel()
    return np.bincount(cells.ravel(), weights=flat, minlength=rows * size).reshape(rows, size).astype(np.float64)


def _ece(sample_facts: Facts, draws: Ints) -> Floats:
    """Return the expected calibration error, `(r,)`: the sum over bins of |hits - confidence| / m."""
    bins = confidence_bin(sample_facts.confidence)
    gap = (sample_facts.targets == sample_facts.predicted) - sample_facts.confidence
    return np.asarray(np.abs(_sum(bins[draws], ECE_BINS, gap[draws])).sum(axis=1) / draws.shape[1])
