"""The findings of a model: what it reports in images (boxes, masks, labels, regions), and what it should find.

Findings of one image are not independent: tests and intervals take images, never findings, as their units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import Floats, Ints
from raytl.metrics.intervals import RESAMPLES, Interval, fraction_end
from raytl.metrics.pixels import Pixels

Bools = NDArray[np.bool_]
ERRORS = ("correct", "localized badly", "wrong class", "duplicate", "wrong class, localized badly", "background")
"""What is true of a finding, by its number in `Findings.error` (after TIDE, Bolya et al. 2020). A task without places has
`CORRECT` and `BACKGROUND` only: the thing is there, or it is not."""
CORRECT, MISPLACED, WRONG_CLASS, DUPLICATE, OTHER, BACKGROUND = range(len(ERRORS))
SIZES = ("small", "medium", "large")
"""Sizes of things, by number: areas below 32 x 32, below 96 x 96, and of more square pixels, as COCO."""
_DRAWS_AT_ONCE = 2_000_000
_BOUNDS = (32.0**2, 96.0**2)


@dataclass(frozen=True, eq=False)
class Wanted:
    """The t things to find, in any order.

    `image (t,)`, `label (t,)` and `size (t,)` (`SIZES`; -1 without sizes); `confidence (t,)` of the finding that finds each, 0
    if nothing does; `boxes (t, 4)` x_min, y_min, x_max, y_max in pixels of the original image, `(t, 0)` without places.
    """

    image: Ints
    label: Ints
    size: Ints
    confidence: Floats
    boxes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, eq=False)
class Findings:
    """The m findings of a model in n images, and the t things `wanted` that it should find, for k classes.

    Findings are kept down to a low confidence, so that every threshold can be tried: `image (m,)` and `label (m,)` are places
    of images and classes, `confidence (m,)` is in [0, 1], `error (m,)` says what is true of it (`ERRORS`), `truth (m,)` is the
    place in `wanted` that it concerns (-1 for none), `size (m,)` and `boxes (m, 4)` are as in `Wanted`. Things that are not
    scored (crowds, unknown labels) are in neither.

    `thresholds (k,)` are the confidences from which the model reports each class. `score (n,)` is that of each image, in [0, 1].
    """

    image: Ints
    label: Ints
    confidence: Floats
    error: Ints
    truth: Ints
    size: Ints
    boxes: NDArray[np.float32]
    wanted: Wanted
    thresholds: Floats
    score: Floats
    pixels: Pixels | None = None
    """The pixels of class maps, of which findings are regions; None for other findings."""
    unknown: Bools | None = None
    """True where it is not known whether an image has a class, `(n, k)`; None if all is known. It is not stored: the images say it."""

    def __len__(self) -> int:
        return len(self.image)

    @property
    def correct(self) -> Bools:
        """True where the thing is there, `(m,)`."""
        return np.asarray(self.error == CORRECT)

    @property
    def reported(self) -> Bools:
        """True where the confidence reaches the threshold of the class, `(m,)`."""
        return np.asarray(self.confidence >= self.thresholds[self.label])

    @property
    def missed(self) -> Bools:
        """True where a wanted thing is not among what is reported, `(t,)`."""
        return np.asarray(self.wanted.confidence < self.thresholds[self.wanted.label])


SUMS = 4
"""The columns of `image_sums`."""


def image_sums(findings: Findings) -> Floats:
    """Return for each image its score, and of its reported findings the number, the sum of confidence, and the number that is
    right: `(n, 4)`. Of class maps it is pixels that are counted."""
    if findings.pixels is not None:
        count, correct, confidence = findings.pixels.bins.sum(axis=1).T
        return np.stack([findings.score, count, confidence, correct], axis=1)
    taken, count = findings.reported, len(findings.score)
    image = findings.image[taken]
    columns = (np.ones(len(image)), findings.confidence[taken], findings.correct[taken])
    return np.stack([findings.score, *(np.bincount(image, each, count) for each in columns)], axis=1)


def sizes_of(areas: Floats) -> Ints:
    """Return the size of each thing, `(n,)`, from its area in square pixels of the original image."""
    return np.searchsorted(_BOUNDS, areas, side="right")


def mean_by_images(image: Ints, values: Floats, seed: int = 0) -> Interval:
    """Return the mean of `values (m,)` of findings or things in `image (m,)`, with its 95 % bootstrap interval over images.

    If it is 1 or 0, the bound is that of as many images (`fraction_end`): all resamples are equal then. Of one image with another
    mean, there is no interval, and the bounds are NaN.
    """
    if not len(image):
        return Interval(np.nan, np.nan, np.nan)
    places = np.unique(image, return_inverse=True)[1]
    total, count = np.bincount(places, values), np.bincount(places)
    if len(total) == 1:
        return fraction_end(Interval(float(total[0] / count[0]), np.nan, np.nan), 1)
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // len(total))
    means = [
        total[draws].sum(axis=1) / count[draws].sum(axis=1)
        for start in range(0, RESAMPLES, step)
        for draws in [rng.integers(0, len(total), (min(step, RESAMPLES - start), len(total)))]
    ]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975)).tolist()
    return fraction_end(Interval(float(total.sum() / count.sum()), low, high), len(total))
