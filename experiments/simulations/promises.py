"""How often thresholds and prediction sets break their promise on new images: certified, and chosen the usual way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.certified import certified_accuracy, certified_recall
from raytl.metrics.conformal import Scores, class_cuts, marginal_cuts, sets
from raytl.metrics.scores import softmax

AIM = 0.9
"""The accuracy of what is answered, and the recall of a class, that are promised."""
ALPHA = 0.1
"""The fraction of images whose set may lack the true class."""
_POPULATION = 100_000


def broken_accuracy(resamples: int, images: int = 250) -> tuple[float, float]:
    """Return how often a certified threshold, and the usual choice, break the aim for the answers of an overconfident model.

    The usual choice is the lowest confidence from which the validation images meet the aim.
    """
    draw = np.random.default_rng(0)
    sure = np.sort(draw.uniform(0.5, 1.0, _POPULATION))
    right = (
        draw.random(len(sure)) < 0.63 + 0.33 * sure
    )  # 87.8 % from a half on, 91.6 % from the next threshold of the grid on
    certified = usual = 0
    for _ in range(resamples):
        sample = np.sort(draw.integers(0, len(sure), images))
        each = certified_accuracy(sure[sample], right[sample], AIM)
        certified += each.threshold is not None and _accuracy_from(sure, right, each.threshold) < AIM
        meets = np.flatnonzero(_means_from(right[sample]) >= AIM)
        usual += bool(len(meets)) and _accuracy_from(sure, right, sure[sample[meets[0]]]) < AIM
    return certified / resamples, usual / resamples


def _means_from(values: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of each value and all after it."""
    return np.cumsum(values[::-1])[::-1] / np.arange(len(values), 0, -1)


def _accuracy_from(sure: NDArray[np.float64], right: NDArray[np.bool_], threshold: float) -> float:
    answered = right[np.searchsorted(sure, threshold) :]
    return float(answered.mean()) if len(answered) else 1.0


def broken_recall(resamples: int, images: int = 150) -> tuple[float, float]:
    """Return how often a certified threshold, and the highest that meets the aim on validation, break the aim for a class."""
    draw = np.random.default_rng(1)
    population = draw.beta(4, 1, _POPULATION)
    certified = usual = 0
    for _ in range(resamples):
        sample = draw.choice(population, images)
        each = certified_recall(sample, AIM)
        certified += each.threshold is not None and bool((population >= each.threshold).mean() < AIM)
        usual += bool((population >= np.sort(sample)[int(images * (1 - AIM))]).mean() < AIM)
    return certified / resamples, usual / resamples


def population(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return overconfident probabilities of four classes, one of them rare, and the true classes."""
    draw = np.random.default_rng(seed)
    targets = draw.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    return softmax(3 * draw.normal(size=(n, 4)) + 3 * np.eye(4)[targets]), targets


def set_coverages(score: Scores, resamples: int, by_class: bool) -> NDArray[np.float64]:
    """Return the coverage of each class in the mean over calibration splits of 150 images, and last over all images."""
    probabilities, targets = population(20_000)
    values, draw = score(probabilities), np.random.default_rng(3)
    total = np.zeros(5)
    for _ in range(resamples):
        places = draw.permutation(len(targets))[:1150]
        chosen = (class_cuts if by_class else marginal_cuts)(values[places[:150]], targets[places[:150]], ALPHA)
        own = sets(values[places[150:]], chosen)[np.arange(1000), targets[places[150:]]]
        total += [*(own[targets[places[150:]] == c].mean() for c in range(4)), own.mean()]
    return total / resamples


def naive_coverage(n: int = 20_000) -> float:
    """Return the coverage of sets that take the model at its word: classes from the likeliest on, until 90 % are reached."""
    probabilities, targets = population(n)
    order = np.argsort(-probabilities, axis=1)
    before = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1) - np.take_along_axis(
        probabilities, order, axis=1
    )
    rank = (order == targets[:, None]).argmax(axis=1)
    return float((before[np.arange(n), rank] < 1 - ALPHA).mean())
