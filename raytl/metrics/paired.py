"""Two models on the same images: is the second better? The difference, its interval, and what chance alone would do.

The interval is a paired bootstrap over images, class by class, so that every resample has the classes in their shares. It
is too narrow where few images tell the models apart (three to none would do), so the test beside it is exact there: if the
models were equally good, each image's two predictions could as well be swapped (Noreen 1989; for accuracy that is McNemar's
exact test, for a mean of recalls the same with each image weighted by its class).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.scores import Facts, facts, measure
from raytl.stored.bounds import Count, Score

RESAMPLES = 4000
LEVEL = 0.95
LOWER_IS_BETTER = ("log_loss", "ece")
_DRAWS_AT_ONCE = 2_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Paired:
    """A score `before` and `after` on the same images. `gain` is the improvement (positive = better, also of losses), between
    `low` and `high` with 95 %, and above `least` with the confidence asked for.

    `gained` images are right only after, `lost` ones only before; `p_better` and `p_worse` are how often chance alone would
    show as large a gain, or loss, if both were equally good.
    """

    metric: str
    before: Score
    after: Score
    gain: Score
    low: Score
    high: Score
    least: Score
    gained: Count
    lost: Count
    p_better: Score
    p_worse: Score


def paired(
    targets: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    metric: str,
    *,
    confidence: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """How `after` compares with `before` (probabilities `(n, classes)` of the same images) by `metric`."""
    wanted = np.asarray(targets, dtype=np.int64)
    count = len(wanted)
    known = facts(np.tile(wanted, 2), np.concatenate([np.asarray(before), np.asarray(after)]))
    rng = np.random.default_rng(seed)
    own = np.arange(count)[None]
    scores = _score(known, np.concatenate([own, own + count]), metric)
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    gain = float(sign * (scores[1] - scores[0]))
    right = known.predicted == known.targets
    gained, lost = int((~right[:count] & right[count:]).sum()), int((right[:count] & ~right[count:]).sum())
    gains = sign * _differences(known, _resamples(wanted, resamples, rng), metric)
    better, worse = (
        mcnemar(gained, lost) if metric == "accuracy" else _swapped(known, gain, metric, sign, resamples, rng)
    )
    low, high, least = np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2, 1 - confidence])
    return Paired(
        metric,
        float(scores[0]),
        float(scores[1]),
        gain,
        float(low),
        float(high),
        float(least),
        gained,
        lost,
        better,
        worse,
    )


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """The exact one-sided p-values that the second is better, and that it is worse (McNemar 1947, by the binomial)."""
    if gained + lost == 0:
        return 1.0, 1.0
    return tuple(float(binomtest(won, gained + lost, alternative="greater").pvalue) for won in (gained, lost))  # type: ignore[return-value]


def _resamples(targets: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Draws `(resamples, n)` with replacement, as many of each class as there are."""
    draws = np.empty((resamples, len(targets)), dtype=np.int64)
    for label in np.unique(targets):
        places = np.flatnonzero(targets == label)
        draws[:, places] = places[rng.integers(0, len(places), size=(resamples, len(places)))]
    return draws


def _differences(known: Facts, draws: Ints, metric: str) -> Floats:
    count = draws.shape[1]
    return _score(known, draws + count, metric) - _score(known, draws, metric)


def _swapped(
    known: Facts, gain: float, metric: str, sign: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The p-values of `gain` among those of random swaps of each image's two predictions."""
    count = len(known.targets) // 2
    swap = rng.integers(0, 2, size=(resamples, count)) * count
    first, second = np.arange(count) + swap, np.arange(count) + count - swap
    gains = sign * (_score(known, second, metric) - _score(known, first, metric))
    above, below = (gains >= gain - _ROUNDING).sum(), (gains <= gain + _ROUNDING).sum()
    return float((1 + above) / (1 + resamples)), float((1 + below) / (1 + resamples))


def _score(known: Facts, draws: Ints, metric: str) -> Floats:
    """The metric over each row of `draws`, whose classes are those of the images in their order; in blocks that fit in
    memory."""
    worth = _worth(known, metric)
    rows = max(1, _DRAWS_AT_ONCE // draws.shape[1])
    blocks = (draws[at : at + rows] for at in range(0, len(draws), rows))
    return np.concatenate(
        [measure(known, block)[metric] if worth is None else worth[block].sum(axis=1) for block in blocks]
    )


def _worth(known: Facts, metric: str) -> Floats | None:
    """What each prediction adds to a score that is a sum over images; None where it is none."""
    right, count = known.predicted == known.targets, len(known.targets) // 2
    if metric == "accuracy":
        return np.asarray(right / count)
    if metric == "balanced_accuracy":
        support = np.bincount(known.targets[:count], minlength=known.classes)
        return np.asarray(right / (support[known.targets] * np.count_nonzero(support)))
    return None
