"""Intervals of an accuracy that differs from group to group (patients, sites), by images and by whole groups."""

from __future__ import annotations

import numpy as np

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import estimates

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
