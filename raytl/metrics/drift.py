"""Detect drift between old and new images: two two-sample tests with permutation p-values, and the model's confidence.

The tests are a cross-validated domain classifier (ridge regression on the features: Lopez-Paz and Oquab 2017) and the
maximum mean discrepancy with a Gaussian kernel of the median distance (Gretton et al. 2012). Both take features
`(n, d)`; the caller balances whatever may differ without being drift, such as class frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats
from raytl.stored.bounds import Count, Score

PERMUTATIONS = 499
FOLDS = 5
_RIDGE = 1.0
_DIRECTIONS = 64


@dataclass(frozen=True, slots=True)
class Drift:
    """`amount` is 2 AUC - 1 of the domain classifier: 0 = no drift, 1 = perfectly separable. `mmd` is the squared
    discrepancy. The p-values are fractions of random permutations with at least this value; `images` is per group."""

    images: Count
    amount: Score
    auc: Score
    auc_p: Score
    mmd: Score
    mmd_p: Score


@dataclass(frozen=True, slots=True)
class ConfidenceShift:
    """The mean confidence of the model before and now, with the p-value of their difference (two-tailed Mann-Whitney)."""

    before: Score
    now: Score
    p: Score


def drift(
    before: NDArray[np.float32], now: NDArray[np.float32], seed: int = 0, permutations: int = PERMUTATIONS
) -> Drift:
    """Measure the drift from the rows of `before` to those of `now`, which have equal numbers of rows."""
    assert len(before) == len(now) >= FOLDS, "equal numbers of rows, at least one per fold"
    rng = np.random.default_rng(seed)
    features = _standardized(np.concatenate([before, now]).astype(np.float64))
    is_new = np.repeat([0.0, 1.0], len(before))
    shuffled = np.stack([is_new, *(rng.permutation(is_new) for _ in range(permutations))], axis=1)
    aucs = _aucs(features, shuffled, rng)
    mmds = _mmds(features, shuffled)
    auc = float(aucs[0])
    return Drift(
        images=len(before),
        amount=max(0.0, 2 * auc - 1),
        auc=auc,
        auc_p=float((aucs >= auc - 1e-12).mean()),
        mmd=float(mmds[0]),
        mmd_p=float((mmds >= mmds[0] - 1e-12).mean()),
    )


def confidence_shift(before: Floats, now: Floats) -> ConfidenceShift:
    """Compare the confidence of the model on new images with that on old images."""
    from scipy.stats import mannwhitneyu

    p = mannwhitneyu(before, now).pvalue
    return ConfidenceShift(float(before.mean()), float(now.mean()), float(p))


def _standardized(features: Floats) -> Floats:
    """Standardize the features and project them on their leading directions, at most an eighth of the number of rows."""
    centred = features - features.mean(0)
    deviation = centred.std(0)
    scaled = centred / np.where(deviation > 1e-12, deviation, 1.0)
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    directions = min(_DIRECTIONS, max(1, len(features) // 8))
    return np.asarray((left * sizes)[:, :directions])


def _aucs(features: Floats, is_new: Floats, rng: np.random.Generator) -> Floats:
    """Return the AUC of each column of `is_new (n, r)`: ridge regression is linear in the targets, so one solve does all."""
    fold = rng.permutation(np.arange(len(features)) % FOLDS)
    aucs = np.zeros((FOLDS, is_new.shape[1]))
    for number in range(FOLDS):
        fit, held = fold != number, fold == number
        centre = features[fit].mean(0)
        inputs = features[fit] - centre
        penalty = _RIDGE * len(inputs) * np.eye(inputs.shape[1])
        solved = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (is_new[fit] - is_new[fit].mean(0)))
        aucs[number] = _auc((features[held] - centre) @ solved, is_new[held])
    return np.asarray(aucs.mean(0))


def _auc(scores: Floats, is_new: Floats) -> Floats:
    """Return the AUC of each column, by ranks; 0.5 for a column with one class only."""
    from scipy.stats import rankdata

    ones = is_new.sum(0)
    zeros = len(is_new) - ones
    ranks = (rankdata(scores, axis=0) * is_new).sum(0)
    pairs = np.maximum(ones * zeros, 1)
    return np.asarray(np.where(ones * zeros > 0, (ranks - ones * (ones + 1) / 2) / pairs, 0.5))


def _mmds(features: Floats, is_new: Floats) -> Floats:
    """Return the unbiased squared discrepancy of each column of `is_new`, with halves of equal size."""
    squares = (features**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0.0)
    kernel = np.exp(-distances / max(float(np.median(distances)), 1e-12))
    np.fill_diagonal(kernel, 0.0)
    half = len(features) / 2
    ones = ((kernel @ is_new) * is_new).sum(0)
    zeros = ((kernel @ (1 - is_new)) * (1 - is_new)).sum(0)
    across = ((kernel @ is_new) * (1 - is_new)).sum(0)
    return np.asarray((ones + zeros) / (half * (half - 1)) - 2 * across / half**2)
