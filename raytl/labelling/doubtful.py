"""Rank the labels that frozen features contradict: confident learning on probabilities of images that were not learned.

The list is a ranking. Its length is that of the confident joint, which overestimates the number of wrong labels (twice as
many where 10 % are wrong, docs/label-noise.md), so it is not reported as a rate of errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raytl.data.manifest import Sample
from raytl.events import OnEvent, ignore
from raytl.labelling.suspect import SuspectLabel
from raytl.metrics.confusion import Floats, balanced_accuracy, confusion_matrix, tally
from raytl.metrics.suspects import is_trusted, pooled, suspects
from raytl.models.left_out import Ints, left_out_in_parts

MIN_IMAGES = 5
"""Images of a class below which its labels are not judged."""


@dataclass(frozen=True)
class Doubts:
    """The doubtful labels among `images`, the most doubtful first; none if the classifier is not `trusted`.

    `accuracy` is its balanced accuracy on images that it did not learn, by their given labels. `unjudged` are the classes
    with too few images, and `passed_over` the places of networks whose own classifier is not trusted, where another one's is.
    """

    listed: tuple[SuspectLabel, ...]
    images: int
    accuracy: float
    trusted: bool
    unjudged: tuple[str, ...] = ()
    passed_over: tuple[int, ...] = ()

    @property
    def sentence(self) -> str:
        """Return the result in a sentence."""
        wrong = f"{100 * (1 - self.accuracy):.0f} %"
        if not self.trusted:
            return (
                f"cannot tell which labels are doubtful: a classifier of the frozen features is wrong itself on {wrong} of the "
                "images (balanced over classes). Use a network that separates the classes, or more images"
            )
        if not self.listed:
            return f"none of {self.images:,} labels is doubtful"
        return (
            f"{len(self.listed):,} of {self.images:,} labels are doubtful, the most doubtful first. This is an order to look at "
            f"them, not an estimate of how many are wrong: the classifier itself is wrong on {wrong}"
        )


def doubts(
    tables: Sequence[Tensor],
    samples: Sequence[Sample],
    targets: Ints,
    classes: Sequence[str],
    groups: Ints,
    seed: int,
    on_event: OnEvent = ignore,
) -> Doubts:
    """Return the doubtful labels of `samples` by the features `(n, d)` of one or several networks.

    `targets (n,)` index `classes`. No probability comes from a classifier that learned the image or one of its `groups (n,)`.
    Networks whose own classifier is not trusted are passed over if another one is.
    """
    probabilities = [
        left_out_in_parts(table, targets, len(classes), lambda places: groups[places], seed, on_event)
        for table in tables
    ]
    are_trusted = [is_trusted(_accuracy(targets, table), len(classes)) for table in probabilities]
    trusted = [table for table, is_one in zip(probabilities, are_trusted, strict=True) if is_one]
    table = pooled(trusted or probabilities)
    accuracy = _accuracy(targets, table)
    counts = np.bincount(targets, minlength=len(classes))
    unjudged = tuple(name for name, count in zip(classes, counts, strict=True) if 0 < count < MIN_IMAGES)
    suspected = [each for each in suspects(targets, table) if counts[each.given] >= MIN_IMAGES] if trusted else []
    listed = (
        SuspectLabel(
            samples[each.place].key,
            classes[each.given],
            classes[each.suggested],
            each.probability,
            each.margin,
            samples[each.place].split or "train",
        )
        for each in suspected
    )
    passed_over = tuple(place for place, is_one in enumerate(are_trusted) if trusted and not is_one)
    return Doubts(tuple(listed), len(samples), accuracy, bool(trusted), unjudged, passed_over)


def spared(listed: Sequence[SuspectLabel], targets: Ints, classes: Sequence[str]) -> tuple[SuspectLabel, ...]:
    """Return the doubtful labels without the least doubtful ones of each class that would lose all but `MIN_IMAGES` images."""
    left = dict(zip(classes, np.bincount(targets, minlength=len(classes)).tolist(), strict=True))
    retained = []
    for each in listed:
        if left[each.given] > MIN_IMAGES:
            left[each.given] -= 1
            retained.append(each)
    return tuple(retained)


def _accuracy(targets: Ints, table: Floats) -> float:
    counts = tally(confusion_matrix(targets, table.argmax(axis=1), table.shape[1]))
    return float(balanced_accuracy(counts))
