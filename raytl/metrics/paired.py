"""Compare two models on the same images: the difference of their scores, its interval, and exact p-values.

The interval is a paired bootstrap over images, stratified by class. It is too narrow if the models differ on few images
(say, on three), so the p-values come from a test that is exact there: under the null hypothesis, the two predictions of
each image can be swapped (Noreen 1989; McNemar's exact test for accuracy, and its class-weighted version for balanced
accuracy).

Images of a group (a patient, a site) err together, so whole groups are drawn, not by class, and swapped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.direction import sign
from raytl.metrics.draws import Groups, Measure, blocks, group_draws
from raytl.metrics.scores import Facts, facts, measure
from raytl.metrics.sign_flips import flipped, net_changes
from raytl.stored.bounds import Count, Score

RESAMPLES = 4000
IMAGE_RESAMPLES = 1000
"""Of scores that take longer."""
LEVEL = 0.95
_DRAWS_AT_ONCE = 2_000_000
_DRAWN_AT_ONCE = 20_000_000
"""Images of the resamples in memory: all of them up to 5,000 images."""
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Paired:
    """A score `before` and `after` on the same images. `gain` is the improvement (positive = better, also for losses), with
    the 95 % interval `low` to `high` and the one-tailed lower bound `least` at the requested confidence.

    `gained` images are correct only after, `lost` ones only before; of a score of sets of images, they are those whose own
    score rose or fell. `p_better` and `p_worse` are the one-tailed p-values of
    the gain and of the loss.
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
    groups: Groups | None = None,
) -> Paired:
    """Compare `after` with `before` (probabilities `(n, classes)` of the same images) by `metric`."""
    truth = np.asarray(targets, dtype=np.int64)
    sample_facts = facts(np.tile(truth, 2), np.concatenate([np.asarray(before), np.asarray(after)]))
    if groups is not None:
        return _paired_groups(sample_facts, metric, confidence, seed, groups)
    return _paired(sample_facts, metric, confidence, resamples, seed)


def paired_classes(targets: Ints, before: Ints, after: Ints, metric: str, groups: Groups | None = None) -> Paired:
    """Compare the predicted classes `after` with `before` by accuracy or balanced accuracy; takes memory per image only."""
    unused = np.zeros(2 * len(targets))
    classes = 1 + int(max(each.max() for each in (targets, before, after)))
    predicted = np.concatenate([before, after])
    sample_facts = Facts(classes, 0, np.tile(targets, 2), predicted, unused.astype(np.int64), unused, unused)
    if groups is not None:
        return _paired_groups(sample_facts, metric, LEVEL, 0, groups)
    return _paired(sample_facts, metric, LEVEL, RESAMPLES, 0)


def _paired(sample_facts: Facts, metric: str, confidence: float, resamples: int, seed: int) -> Paired:
    count = len(sample_facts.targets) // 2
    truth = sample_facts.targets[:count]
    rng = np.random.default_rng(seed)
    own = np.arange(count)[None]
    scores = _score(sample_facts, np.concatenate([own, own + count]), metric)
    direction = sign(metric)
    gain = float(direction * (scores[1] - scores[0]))
    gained, lost = (int(each.sum()) for each in _corrected(sample_facts))
    parts = [_differences(sample_facts, _resamples(truth, rows, rng), metric) for rows in _blocks(resamples, count)]
    gains = direction * np.concatenate(parts)
    better, worse = (
        mcnemar(gained, lost)
        if metric == "accuracy"
        else _swap_test(sample_facts, gain, metric, direction, resamples, rng)
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


def _paired_groups(sample_facts: Facts, metric: str, confidence: float, seed: int, groups: Groups) -> Paired:
    gained, lost = _corrected(sample_facts)
    result = paired_by_images(
        lambda draws: {metric: measure(sample_facts, draws)[metric]},
        len(groups),
        metric,
        confidence=confidence,
        seed=seed,
        groups=groups,
    )
    result = replace(result, gained=int(gained.sum()), lost=int(lost.sum()))
    if metric != "accuracy":
        return result
    better, worse = flipped(net_changes(gained, lost, groups))
    return replace(result, p_better=better, p_worse=worse)


def _corrected(sample_facts: Facts) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the images that are correct only after, and only before, both `(n,)`."""
    before, after = np.split(sample_facts.predicted == sample_facts.targets, 2)
    return ~before & after, before & ~after


def paired_by_images(
    measure: Measure,
    n: int,
    metric: str,
    *,
    confidence: float = LEVEL,
    resamples: int = IMAGE_RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> Paired:
    """Compare two models on n images by any score; `measure` draws from 2n: the images as answered before, then after.

    Resamples are of images or of whole `groups`, without strata. The p-values are exact if all swaps fit in `resamples` (up to 9
    images or groups in 1000), otherwise from that many random ones. Draws in which the score is undefined are left out.
    """
    rng = np.random.default_rng(seed)
    own = np.arange(n)[None]
    before, after = float(measure(own)[metric][0]), float(measure(own + n)[metric][0])
    gain = float(_gains(measure, metric, own, own + n)[0])
    resampled = _resampled_gains(measure, metric, n, resamples, rng, groups)
    low, high, least = _quantiles(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2, 1 - confidence])
    swapped, is_exact = _swapped_gains(measure, metric, n, resamples, rng, groups)
    better, worse = _p_values(swapped, gain, is_exact)
    gained, lost = _changed(_gains(measure, metric, own.T, own.T + n))
    return Paired(metric, before, after, gain, low, high, least, int(gained), int(lost), better, worse)


@dataclass(frozen=True, slots=True)
class ClassChange:
    """The score of a class `before` and `after`, as in `Paired`; `images` are those in which the class has a score of its own."""

    images: Count
    before: Score
    after: Score
    gained: Count
    lost: Count
    p_worse: Score


def classes_by_images(
    measure: Measure,
    n: int,
    metric: str,
    *,
    resamples: int = IMAGE_RESAMPLES,
    seed: int = 0,
    groups: Groups | None = None,
) -> tuple[ClassChange, ...]:
    """Compare two models as `paired_by_images` does, by each class of a `metric` of shape `(r, classes)`."""
    own = np.arange(n)[None]
    before, after = measure(own)[metric][0], measure(own + n)[metric][0]
    one, other = measure(own.T)[metric], measure(own.T + n)[metric]
    images = (~np.isnan(one) | ~np.isnan(other)).sum(axis=0)
    gains, (gained, lost) = sign(metric) * (after - before), _changed(sign(metric) * (other - one))
    swapped, is_exact = _swapped_gains(measure, metric, n, resamples, np.random.default_rng(seed), groups)
    return tuple(
        ClassChange(int(images[k]), float(before[k]), float(after[k]), int(gained[k]), int(lost[k]), worse)
        for k in range(len(gains))
        for _, worse in [_p_values(swapped[:, k], float(gains[k]), is_exact)]
    )


def _gains(measure: Measure, metric: str, first: Ints, second: Ints) -> Floats:
    return sign(metric) * (measure(second)[metric] - measure(first)[metric])


def _resampled_gains(
    measure: Measure, metric: str, n: int, resamples: int, rng: np.random.Generator, groups: Groups | None
) -> Floats:
    """Return the gains of draws of images or of whole groups."""
    if groups is None:
        draws = rng.integers(0, n, size=(resamples, n))
        return _gains(measure, metric, draws, draws + n)
    parts = group_draws(groups, resamples, rng)
    return np.concatenate([_gains(measure, metric, draws, draws + n) for draws in parts])


def _swapped_gains(
    measure: Measure, metric: str, n: int, resamples: int, rng: np.random.Generator, groups: Groups | None
) -> tuple[Floats, bool]:
    """Return the gains under swaps of the two answers of images or of whole groups, and whether they are all swaps."""
    own = np.arange(n)[None]
    owners = own[0] if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(owners.max()) + 1
    parts = [
        _gains(measure, metric, own + n * swaps[:, owners], own + n * (1 - swaps[:, owners]))
        for swaps in blocks(_swaps(units, resamples, rng), _DRAWN_AT_ONCE // n)
    ]
    return np.concatenate(parts), 2**units <= resamples


def _changed(single: Floats) -> tuple[Ints, Ints]:
    """Return the number of images whose own score rose, and fell, from the gains `(n, ...)` of single images."""
    return (single > _ROUNDING).sum(axis=0), (single < -_ROUNDING).sum(axis=0)


def _quantiles(gains: Floats, fractions: list[float]) -> tuple[float, ...]:
    defined = gains[~np.isnan(gains)]
    return tuple(np.quantile(defined, fractions).tolist()) if len(defined) else (np.nan,) * len(fractions)


def _swaps(n: int, resamples: int, rng: np.random.Generator) -> Ints:
    """Return which images are swapped, 0 or 1: all `(2**n, n)` possibilities if they fit, otherwise random ones."""
    if 2**n <= resamples:
        return np.arange(2**n)[:, None] >> np.arange(n) & 1
    return rng.integers(0, 2, size=(resamples, n))


def _p_values(swapped: Floats, gain: float, is_exact: bool) -> tuple[float, float]:
    """Return the one-tailed p-values of `gain`; a sample of swaps counts the observed one too, all swaps contain it."""
    if np.isnan(gain):
        return 1.0, 1.0
    extra = 0 if is_exact else 1
    swapped = swapped[~np.isnan(swapped)]
    above, below = (swapped >= gain - _ROUNDING).sum(), (swapped <= gain + _ROUNDING).sum()
    count = extra + len(swapped)
    return float((extra + above) / count), float((extra + below) / count)


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """Return the exact one-tailed p-values that the second model is better, and worse (McNemar 1947, binomial)."""
    if gained + lost == 0:
        return 1.0, 1.0
    from scipy.stats import binomtest  # takes most of a second, and training compares nothing

    return tuple(float(binomtest(won, gained + lost, alternative="greater").pvalue) for won in (gained, lost))  # type: ignore[return-value]


def _resamples(targets: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Draw indices `(resamples, n)` with replacement within each class."""
    draws = np.empty((resamples, len(targets)), dtype=np.int64)
    for label in np.unique(targets):
        places = np.flatnonzero(targets == label)
        draws[:, places] = places[rng.integers(0, len(places), size=(resamples, len(places)))]
    return draws


def _blocks(resamples: int, count: int) -> list[int]:
    """Return the sizes of the blocks of resamples of `count` images that fit in memory."""
    rows = max(1, _DRAWN_AT_ONCE // count)
    return [min(rows, resamples - at) for at in range(0, resamples, rows)]


def _differences(sample_facts: Facts, draws: Ints, metric: str) -> Floats:
    """Return the scores of the second model less those of the first on `draws`, which are overwritten."""
    before = _score(sample_facts, draws, metric)
    draws += draws.shape[1]
    return _score(sample_facts, draws, metric) - before


def _swap_test(
    sample_facts: Facts, gain: float, metric: str, direction: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the p-values of `gain` under random swaps of the two predictions of each image."""
    count = len(sample_facts.targets) // 2
    parts: list[Floats] = []
    for rows in _blocks(resamples, count):
        drawn = rng.integers(0, 2, size=(rows, count))
        drawn *= count
        drawn += np.arange(count)
        first = _score(sample_facts, drawn, metric)
        np.subtract(2 * np.arange(count) + count, drawn, out=drawn)  # the other prediction of each image
        parts.append(_score(sample_facts, drawn, metric) - first)
    return _p_values(direction * np.concatenate(parts), gain, is_exact=False)


def _score(sample_facts: Facts, draws: Ints, metric: str) -> Floats:
    """Return the metric over each row of `draws`, which have the classes of the images in order; in blocks that fit in
    memory."""
    contributions = _contributions(sample_facts, metric)
    rows = max(1, _DRAWS_AT_ONCE // draws.shape[1])
    blocks = (draws[at : at + rows] for at in range(0, len(draws), rows))
    return np.concatenate(
        [
            measure(sample_facts, block)[metric] if contributions is None else contributions[block].sum(axis=1)
            for block in blocks
        ]
    )


def _contributions(sample_facts: Facts, metric: str) -> Floats | None:
    """Return the contribution of each prediction to a score that is a sum over images; None for other scores."""
    correct, count = sample_facts.predicted == sample_facts.targets, len(sample_facts.targets) // 2
    if metric == "accuracy":
        return np.asarray(correct / count)
    if metric == "balanced_accuracy":
        support = np.bincount(sample_facts.targets[:count], minlength=sample_facts.classes)
        return np.asarray(correct / (support[sample_facts.targets] * np.count_nonzero(support)))
    return None
