"""Thresholds of findings that keep a promise on average over images.

Findings of one image are not independent, so an image counts once, with the fraction of its findings that are right, or of its
things that are found. Learn then Test (see `raytl.metrics.certified`) with the p-value for bounded means of Bates et al. 2021
(Hoeffding and Bentkus), which is exact for any dependence inside an image. Images of a patient or a site are not independent
either: where they have groups, a group takes the place of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.binomial import clopper_pearson, error_free_trials, p_mean_below
from raytl.metrics.certified import DELTA
from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import Interval

FINDING_GRID: Floats = 1 / (1 + np.exp(-np.concatenate([np.linspace(-1, 3, 13), [4.0, 5.0, 6.0, 7.0]])))
"""Confidences from which findings count, 0.27 to 0.999: in steps of a third in the log odds up to 0.95, then of one."""
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageCertificate:
    """The `threshold` that is certified for an aim; None if there is none.

    `mean` is the average over `images` validation images that supports it, or the best one if none is certified. `needed`
    images without an error would do.
    """

    threshold: float | None
    mean: float
    images: int
    needed: int


def certified_precision(image: Ints, confidence: Floats, correct: Bools, aim: float) -> ImageCertificate:
    """Return the lowest threshold from which at least the fraction `aim` of the findings in an image is right, on average.

    The arrays `(m,)` are those of `Findings`, of validation. Images without a finding from the threshold on do not count.
    """
    taken = [confidence >= threshold for threshold in FINDING_GRID]
    return _certificate(FINDING_GRID, [fractions(image[each], correct[each]) for each in taken], aim)


def certified_finding_recall(image: Ints, confidence: Floats, aim: float) -> ImageCertificate:
    """Return the highest threshold from which at least the fraction `aim` of the things in an image is found, on average.

    `image (t,)` and `confidence (t,)` are those of `Wanted`, of validation.
    """
    grid = FINDING_GRID[::-1]
    return _certificate(grid, [fractions(image, confidence >= threshold) for threshold in grid], aim)


def fractions(image: Ints, is_good: Bools) -> Floats:
    """Return the fraction of `is_good (m,)` in each image that occurs in `image (m,)`."""
    count = np.bincount(image)
    return np.bincount(image, is_good, len(count))[count > 0] / count[count > 0]


def mean_fraction(values: Floats) -> Interval:
    """Return the mean of fractions of images, with a 95 % interval.

    It is that of as many hits and misses (Clopper and Pearson 1934): fractions vary less. The value is NaN without an image.
    """
    low, high = clopper_pearson(values.sum(), len(values))
    return Interval(float(values.mean()) if len(values) else math.nan, float(low), float(high))


def _certificate(grid: Floats, values: list[Floats], aim: float) -> ImageCertificate:
    """Return the first threshold of `grid` that is certified."""
    level = DELTA / len(grid)
    p = np.array([p_mean_below(float(each.sum()), len(each), aim) for each in values])
    passed = np.flatnonzero(p <= level)
    place = int(passed[0]) if len(passed) else int(np.argmin(p))
    mean = float(values[place].mean()) if len(values[place]) else math.nan
    threshold = float(grid[place]) if len(passed) else None
    return ImageCertificate(threshold, mean, len(values[place]), error_free_trials(aim, level))
