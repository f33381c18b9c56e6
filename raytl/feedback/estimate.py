"""The accuracy in use from the random share of collections: each labelled image counts for the answers that it stands for.

The estimate is the ratio of weights (Hájek 1971). Its interval is the exact binomial one at the effective number of images
(Korn and Graubard 1998; Kish 1965), which is wider where weights differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from raytl.feedback.collection import Chosen
from raytl.metrics.binomial import clopper_pearson
from raytl.metrics.intervals import Interval


@dataclass(frozen=True, slots=True)
class AccuracyInUse:
    """The accuracy of the model `version` in use, with its 95 % interval: `labelled` images of a share of `images`."""

    version: str
    accuracy: Interval
    labelled: int
    images: int

    @property
    def is_complete(self) -> bool:
        """True if the whole share is labelled: else images that are hard to label may be missing."""
        return self.labelled == self.images


def estimates(drawn: Iterable[Chosen], labels: Mapping[str, str]) -> list[AccuracyInUse]:
    """Return the accuracy of each version in the random `drawn`, by the `labels` of photos."""
    by_version: dict[str, list[Chosen]] = {}
    for each in drawn:
        by_version.setdefault(each.version, []).append(each)
    return [_estimate(version, each, labels) for version, each in sorted(by_version.items())]


def _estimate(version: str, drawn: list[Chosen], labels: Mapping[str, str]) -> AccuracyInUse:
    labelled = [each for each in drawn if each.photo in labels]
    weights = np.array([each.weight for each in labelled])
    correct = np.array([each.suggested == labels[each.photo] for each in labelled], np.bool_)
    return AccuracyInUse(version, weighted_fraction(weights, correct), len(labelled), len(drawn))


def weighted_fraction(weights: np.ndarray, hits: np.ndarray) -> Interval:
    """Return the fraction of the total of `weights (n,)` on `hits (n,)`, with its 95 % interval; NaN without an image."""
    if not len(weights):
        return Interval(math.nan, 0.0, 1.0)
    weights = weights / weights.max()
    value = float(weights[hits].sum() / weights.sum())
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    low, high = clopper_pearson(value * effective, effective)
    return Interval(value, float(low), float(high))
