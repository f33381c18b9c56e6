"""Intervals, paired tests and certified thresholds where accuracy differs from group to group (patients, sites): by images, and
by whole groups."""

from __future__ import annotations

import numpy as np

from raytl.metrics.certified import certified_accuracy
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import estimates
from raytl.metrics.paired import mcnemar
from raytl.metrics.sign_flips import flipped, net_changes

RESAMPLES = 500


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
