"""Scores of independent labels: first facts about each label, then scores over any draw of images.

Targets are 1 (present), 0 (absent) and -1 (unknown). Unknown entries count nowhere.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.draws import blocks, counts_of, joined, mean_of_defined, ratio, selected
from raytl.metrics.scores import ECE_BINS, confidence_bin

THRESHOLD = 0.5
BY_CLASS = ("average_precision", "roc_auc", "precision", "recall", "f1", "support")
_CELLS = 1 << 20
"""Limits the memory of a block of draws."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about n images and their labels: `targets`, `probabilities` and `predicted`, all `(n, labels)`.

    `predicted` are the labels at or above their threshold.
    """

    targets: Ints
    probabilities: Floats
    predicted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Curve:
    """The precision and recall of one label if it is predicted at and above each of the `thresholds`, which fall; all `(k,)`."""

    thresholds: Floats
    precision: Floats
    recall: Floats


def facts(targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike = THRESHOLD) -> Facts:
    """Return the facts of `targets (n, labels)` and `probabilities (n, labels)`; `thresholds` is one number, or one per label."""
    truth, table = np.asarray(targets, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
    assert truth.shape == table.shape and truth.ndim == 2, f"{truth.shape} targets for {table.shape} probabilities"
    assert np.isin(truth, (-1, 0, 1)).all(), "a target other than 1, 0 and -1"
    return Facts(truth, table, table >= np.asarray(thresholds, dtype=np.float64))


def joined_facts(before: Facts, after: Facts) -> Facts:
    """Return the facts of two models about the same n images as those of 2n images: `before`'s, then `after`'s."""
    return Facts(*(np.concatenate([getattr(before, name), getattr(after, name)]) for name in Facts.__slots__))


def measure(image_facts: Facts, draws: Ints, names: Collection[str] | None = None) -> dict[str, Floats]:
    """Return the scores called `names` (all if None) over each row of `draws (r, m)`: `(r,)`, or `(r, labels)` for `BY_CLASS`.

    `map` is the mean of the average precisions, `macro_f1` that of F1 over the labels that occur or are predicted,
    `micro_f1` the F1 of all entries, `log_loss` the mean over all known entries (clipped at float64's epsilon, as
    scikit-learn does), `ece` the expected calibration error of all known entries, each as a decision between two classes. A label without a positive has no average precision, one without both kinds no ROC AUC (NaN).
    """
    step = _CELLS // len(image_facts.targets)
    return selected(joined([_measured(image_facts, block) for block in blocks(draws, step)]), names)


def image_f1(image_facts: Facts) -> Floats:
    """Return the F1 of the known labels of each image, `(n,)`; 1 if there are none and none is predicted."""
    present, predicted = image_facts.targets == 1, image_facts.predicted & (image_facts.targets >= 0)
    whole = present.sum(axis=1) + predicted.sum(axis=1)
    return np.where(whole > 0, 2 * (present & predicted).sum(axis=1) / np.maximum(whole, 1), 1.0)


def curve(targets: Ints, probabilities: Floats) -> Curve | None:
    """Return the precision-recall curve of one label, both `(n,)`; None without a positive."""
    ranked = _Ranked(targets, probabilities)
    true, false = (counts[:, 0] for counts in ranked.until(np.ones((len(targets), 1), dtype=np.int32)))
    if not len(true) or not true[-1]:
        return None
    return Curve(ranked.thresholds, true / (true + false), true / true[-1])


class _Ranked:
    """The known entries of one label by falling probability; entries of equal probability count together."""

    def __init__(self, targets: Ints, probabilities: Floats) -> None:
        rows = np.flatnonzero(targets >= 0)
        self._order = rows[np.argsort(-probabilities[rows], kind="stable")]
        ordered = probabilities[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else rows
        self._positive = targets[self._order] == 1
        self.thresholds: Floats = ordered[self._ends]

    def until(self, counts: NDArray[np.int32]) -> tuple[Ints, Ints]:
        """Return the positives and negatives at or above each threshold, `(thresholds, r)`; `counts (n, r)` are draws."""
        weights = counts[self._order]
        entries = np.cumsum(weights, axis=0, dtype=np.int64)[self._ends]
        true = np.cumsum(weights * self._positive[:, None], axis=0, dtype=np.int64)[self._ends]
        return true, entries - true


def _measured(image_facts: Facts, draws: Ints) -> dict[str, Floats]:
    counts = counts_of(draws, len(image_facts.targets))
    is_drawn = np.asarray(counts.any(axis=1))
    image_facts, counts = _rows(image_facts, is_drawn), counts[is_drawn]
    ranked = [_Ranked(*columns) for columns in zip(image_facts.targets.T, image_facts.probabilities.T, strict=True)]
    areas = [_areas(*each.until(counts)) for each in ranked]
    precision, auc = (np.stack(column, axis=1) for column in zip(*areas, strict=True))
    return {"map": mean_of_defined(precision), "average_precision": precision, "roc_auc": auc} | _counted(
        image_facts, counts.T.astype(np.float64)
    )


def _rows(image_facts: Facts, rows: NDArray[np.bool_]) -> Facts:
    return Facts(*(getattr(image_facts, name)[rows] for name in Facts.__slots__))


def _areas(true: Ints, false: Ints) -> tuple[Floats, Floats]:
    """Return average precision and the area under the ROC curve, `(r,)`, from counts `(thresholds, r)`."""
    if len(true) == 0:
        undefined = np.full(true.shape[1], np.nan)
        return undefined, undefined
    new_true, new_false = (np.diff(counts, axis=0, prepend=0) for counts in (true, false))
    precision = true / np.maximum(true + false, 1)
    below = false[-1] - false + new_false / 2
    return ratio((new_true * precision).sum(axis=0), true[-1]), ratio(
        (new_true * below).sum(axis=0), true[-1] * false[-1]
    )


def _counted(image_facts: Facts, counts: Floats) -> dict[str, Floats]:
    """Return the scores that come from sums over the images; `counts (r, n)`."""
    is_known, present = image_facts.targets >= 0, image_facts.targets == 1
    calls, support = (counts @ (table & is_known) for table in (image_facts.predicted, present))
    hits = counts @ (image_facts.predicted & present)
    f1 = ratio(2 * hits, calls + support)
    own = np.where(present, image_facts.probabilities, 1 - image_facts.probabilities)
    loss = np.where(is_known, -np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)), 0.0)
    return {
        "macro_f1": mean_of_defined(f1),
        "micro_f1": ratio(2 * hits.sum(axis=1), (calls + support).sum(axis=1)),
        "log_loss": ratio(counts @ loss.sum(axis=1), counts @ is_known.sum(axis=1)),
        "ece": _ece(image_facts, counts),
        "precision": ratio(hits, calls),
        "recall": ratio(hits, support),
        "f1": f1,
        "support": support,
    }


def _ece(image_facts: Facts, counts: Floats) -> Floats:
    """Return the expected calibration error of all known entries, `(r,)`; `counts (r, n)`."""
    is_known, table = image_facts.targets >= 0, image_facts.probabilities
    confidence = np.maximum(table, 1 - table)
    gaps = np.where(is_known, ((table > 0.5) == (image_facts.targets == 1)) - confidence, 0.0)
    places = ECE_BINS * np.arange(len(table))[:, None] + confidence_bin(confidence)
    by_bin = np.bincount(places.ravel(), gaps.ravel(), ECE_BINS * len(table)).reshape(-1, ECE_BINS)
    return ratio(np.abs(counts @ by_bin).sum(axis=1), counts @ is_known.sum(axis=1))
