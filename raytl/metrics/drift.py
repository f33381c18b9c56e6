"""Can new images be told from those before? Two answers with a permutation p-value each, and what the model makes of them.

A domain classifier (ridge regression on the features, scored on folds it was not fitted on: Lopez-Paz and Oquab 2017) and
the maximum mean discrepancy with a Gaussian kernel of the median distance (Gretton et al. 2012). Both take features
`(n, d)`; what may differ without being drift, such as the share of each class, is for the caller to make equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, rankdata

from raytl.metrics.confusion import Floats
from raytl.stored.bounds import Count, Score

PERMUTATIONS = 499
FOLDS = 5
_RIDGE = 1.0
_DIRECTIONS = 64


@dataclass(frozen=True, slots=True)
class Drift:
    """`amount` is twice the domain classifier's AUC over one half: 0 = as before, 1 = always told apart. `mmd` is the squared
    discrepancy; both with the share of random divisions that show as much. `images` were taken from each side."""

    images: Count
    amount: Score
    auc: Score
    auc_p: Score
    mmd: Score
    mmd_p: Score


@dataclass(frozen=True, slots=True)
class Sureness:
    """The model's mean confidence before and now, with the p-value of their difference (Mann-Whitney, two-sided)."""

    before: Score
    now: Score
    p: Score


def drift(
    before: NDArray[np.float32], now: NDArray[np.float32], seed: int = 0, permutations: int = PERMUTATIONS
) -> Drift:
    """How far the rows of `now` can be told from those of `before`; as many rows of each."""
    assert len(before) == len(now) >= FOLDS, "the same number of rows of each, one a fold at least"
    rng = np.random.default_rng(seed)
    features = _standard(np.concatenate([before, now]).astype(np.float64))
    sides = np.repeat([0.0, 1.0], len(before))
    shuffled = np.stack([sides, *(rng.permutation(sides) for _ in range(permutations))], axis=1)
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


def sureness(before: Floats, now: Floats) -> Sureness:
    """How the model's confidence on new images compares with that on those before."""
    p = mannwhitneyu(before, now).pvalue
    return Sureness(float(before.mean()), float(now.mean()), float(p))


def _standard(features: Floats) -> Floats:
    """Standardised features on their leading directions: more of them than images tell anything apart."""
    centred = features - features.mean(0)
    spread = centred.std(0)
    scaled = centred / np.where(spread > 1e-12, spread, 1.0)
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    kept = min(_DIRECTIONS, max(1, len(features) // 8))
    return np.asarray((left * sizes)[:, :kept])


def _aucs(features: Floats, sides: Floats, rng: np.random.Generator) -> Floats:
    """The AUC of each column of `sides (n, r)`: a ridge regression is linear in them, so one solution serves all."""
    fold = rng.permutation(np.arange(len(features)) % FOLDS)
    found = np.zeros((FOLDS, sides.shape[1]))
    for number in range(FOLDS):
        fit, held = fold != number, fold == number
        centre = features[fit].mean(0)
        inputs = features[fit] - centre
        penalty = _RIDGE * len(inputs) * np.eye(inputs.shape[1])
        solved = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (sides[fit] - sides[fit].mean(0)))
        found[number] = _auc((features[held] - centre) @ solved, sides[held])
    return np.asarray(found.mean(0))


def _auc(scores: Floats, sides: Floats) -> Floats:
    """The AUC of each column, by ranks; one half where a column has one side only."""
    ones = sides.sum(0)
    zeros = len(sides) - ones
    ranks = (rankdata(scores, axis=0) * sides).sum(0)
    pairs = np.maximum(ones * zeros, 1)
    return np.asarray(np.where(ones * zeros > 0, (ranks - ones * (ones + 1) / 2) / pairs, 0.5))


def _mmds(features: Floats, sides: Floats) -> Floats:
    """The squared discrepancy (unbiased) of each column of `sides`, halves of equal size."""
    squares = (features**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * features @ features.T, 0.0)
    kernel = np.exp(-distances / max(float(np.median(distances)), 1e-12))
    np.fill_diagonal(kernel, 0.0)
    half = len(features) / 2
    ones = ((kernel @ sides) * sides).sum(0)
    zeros = ((kernel @ (1 - sides)) * (1 - sides)).sum(0)
    across = ((kernel @ sides) * (1 - sides)).sum(0)
    return np.asarray((ones + zeros) / (half * (half - 1)) - 2 * across / half**2)
