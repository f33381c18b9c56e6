"""Intervals, tests, certified thresholds, calibration and prediction sets where groups (patients, sites) differ: by images, and by
whole groups."""

from __future__ import annotations

import numpy as np

from raytl.metrics.calibration import fit_temperature
from raytl.metrics.certified import certified_accuracy
from raytl.metrics.conformal import set_cut
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import estimates
from raytl.metrics.miscalibration import hit_errors, temperature_interval
from raytl.metrics.paired import mcnemar
from raytl.metrics.sign_flips import flipped, net_changes

RESAMPLES = 500
_NEW = 200
"""New groups on which prediction sets are judged."""


def coverage(groups: int, images: int, shape: tuple[float, float], sets: int) -> tuple[float, float]:
    """Return how often the 95 % interval holds the accuracy, drawing images, and drawing groups.

    Each of the `groups` has so many `images` and an accuracy of its own, from the beta distribution of this `shape`.
    """
    of_image, held = np.repeat(np.arange(groups), images), np.zeros(2)
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        right = rng.random(groups * images) < rng.beta(*shape, groups)[of_image]

        def accuracy(draws: Ints, right: Ints = right) -> dict[str, Floats]:
            return {"accuracy": right[draws].mean(axis=1)}

        for place, own in enumerate((None, of_image)):
            (each,) = estimates(accuracy, len(right), resamples=RESAMPLES, groups=own)["accuracy"]
            held[place] += each.low <= shape[0] / sum(shape) <= each.high
    by_images, by_groups = (held / sets).tolist()
    return by_images, by_groups


def false_gains(groups: int, images: int, shape: tuple[float, float], sets: int) -> tuple[float, float]:
    """Return how often one of two models is better at the level of 5 %, by swaps of images, and of groups.

    Each has an accuracy of its own in each of the `groups`, drawn as in `coverage`, so neither is better for all groups.
    """
    of_image, shown = np.repeat(np.arange(groups), images), np.zeros(2)
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        before, after = rng.random((2, len(of_image))) < rng.beta(*shape, (2, groups))[:, of_image]
        gained, lost = after & ~before, before & ~after
        by_image = mcnemar(int(gained.sum()), int(lost.sum()))[0]
        shown += np.array([by_image, flipped(net_changes(gained, lost, of_image))[0]]) <= 0.05
    by_images, by_groups = (shown / sets).tolist()
    return by_images, by_groups


def broken_promises(groups: int, images: int, shape: tuple[float, float], aim: float, sets: int) -> tuple[float, float]:
    """Return how often a threshold is certified for an `aim` above the accuracy that groups have on average, by images, and by
    groups. Each group has an accuracy of its own, as in `coverage`."""
    assert shape[0] / sum(shape) < aim, "no threshold keeps the promise"
    of_image, broken = np.repeat(np.arange(groups), images), np.zeros(2)
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        right = rng.random(len(of_image)) < rng.beta(*shape, groups)[of_image]
        sure = np.full(len(of_image), 0.9)
        certified = (certified_accuracy(sure, right, aim, own) for own in (None, of_image))
        broken += [each.threshold is not None for each in certified]
    by_images, by_groups = (broken / sets).tolist()
    return by_images, by_groups


def false_alarms(groups: int, images: int, shift: float, sets: int) -> tuple[float, float]:
    """Return how often there is evidence that a model is not calibrated, by images, and by groups, at the level of 5 %.

    It is right as often as it is sure on average over groups; in each of the `groups` by `shift` more or less often, by chance.
    """
    of_image, shown = np.repeat(np.arange(groups), images), np.zeros(2)
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        sure = rng.uniform(0.6, 0.9, len(of_image))
        right = rng.random(len(of_image)) < sure + shift * rng.choice([-1.0, 1.0], groups)[of_image]
        shown += [hit_errors(right, sure, simulations=400, groups=own)["ece"].is_evidence for own in (None, of_image)]
    by_images, by_groups = (shown / sets).tolist()
    return by_images, by_groups


def temperature_coverage(groups: int, images: int, spread: float, sets: int) -> tuple[float, float]:
    """Return how often the 95 % interval holds the temperature, by images, and by groups.

    Each of the `groups` has a temperature of its own, with this `spread` of its logarithm; the true one is that of 4,000 groups.
    """
    true, held = fit_temperature(*_tempered(4000, images, spread, 0)[:2]), np.zeros(2)
    for seed in range(1, sets + 1):
        targets, logits, of_image = _tempered(groups, images, spread, seed)
        intervals = [temperature_interval(targets, logits, own) for own in (None, of_image)]
        held += [each.low <= true <= each.high for each in intervals]
    by_images, by_groups = (held / sets).tolist()
    return by_images, by_groups


def _tempered(groups: int, images: int, spread: float, seed: int) -> tuple[Ints, Floats, Ints]:
    """Return classes `(n,)`, logits `(n, 4)` that the temperature of each group calibrates, and the groups `(n,)`."""
    rng, of_image = np.random.default_rng(seed), np.repeat(np.arange(groups), images)
    calibrated = 2 * rng.normal(size=(len(of_image), 4))
    odds = np.exp(calibrated)
    targets = (rng.random(len(of_image))[:, None] > np.cumsum(odds / odds.sum(1, keepdims=True), 1)).sum(1)
    return targets, calibrated * np.exp(spread * rng.normal(size=groups))[of_image, None], of_image


def set_coverage(groups: int, images: int, spread: float, alpha: float, sets: int) -> float:
    """Return the mean over new groups of the fraction of images whose true class is in their prediction set.

    Images of so many `groups`, of up to twice so many `images` each, calibrate the sets as if they were independent; groups are
    harder or easier than others, by a `spread` of the logarithm of an exponent.
    """
    covered = 0.0
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 2 * images, groups + _NEW)
        of_image = np.repeat(np.arange(len(sizes)), sizes)
        scores = rng.random(len(of_image)) ** np.exp(spread * rng.normal(size=len(sizes)))[of_image]
        known = of_image < groups
        held = scores[~known] <= set_cut(scores[known], alpha)
        owners = of_image[~known] - groups
        covered += float((np.bincount(owners, held) / np.bincount(owners)).mean())
    return covered / sets
