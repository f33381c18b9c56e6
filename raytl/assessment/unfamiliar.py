"""Section: does the model know what it does not know? The distance of an image to the training images, on the model's features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.binomial import fraction
from raytl.metrics.conformal import set_cut
from raytl.metrics.unfamiliar import auroc, knn_distance, neighbors

ALPHA = 0.05
"""The fraction of familiar images that is flagged."""
MIN_IMAGES = 19
"""Validation images below which no distance is exceeded by 5 % at most."""
TITLE = "Unfamiliar images: does it know what it does not know?"


class UnfamiliarSection:
    """See `raytl.assessment.section.Section`."""

    name = "unfamiliar"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the distance from which an image is unfamiliar, and tests of it."""
        train, val, test = evidence.train, evidence.val, evidence.test
        if train is None:
            return SectionResult(TITLE, ("Not measured with --quick: it compares images with the train split.",))
        if not test.features.shape[1] or not val.features.shape[1] or not train.features.shape[1]:
            return SectionResult(TITLE, ("Not measured: the evaluation stored no features of this model's images.",))
        if len(val) < MIN_IMAGES:
            text = f"Not measured: it needs {MIN_IMAGES} validation images, and there are {len(val)}."
            return SectionResult(TITLE, (text,))
        k = neighbors(len(train))
        familiar, seen = (knn_distance(split.features, train.features, k) for split in (val, test))
        limit = set_cut(familiar, ALPHA)
        flagged = seen > limit
        correct = test.correct
        alarms = fraction(int(flagged.sum()), len(flagged))
        near = knn_distance(val.features, train.features, k, (val.targets, train.targets))
        caught = fraction(int((near > limit).sum()), len(near))
        apart = auroc(familiar, near)
        return SectionResult(
            title=TITLE,
            sentences=(
                f"An image is unfamiliar if its distance to its training neighbor number {k} is above {limit:.3f}, which "
                f"{percent(ALPHA)} at most of images like those of validation exceed. On test it flags {bounds(alarms)}.",
                *_accuracies(correct[flagged], correct[~flagged]),
                f"Near test: without the training images of their own class, {bounds(caught)} of the validation images are "
                f"flagged (AUROC {apart:.3f}). The network was trained with that class, so a new class may be harder.",
            ),
            tables=(_by_class(evidence, flagged, near > limit),),
            json={
                "neighbors": k,
                "distance": limit,
                "test_flagged": [alarms.value, alarms.low, alarms.high],
                "accuracy": {"flagged": _mean(correct[flagged]), "others": _mean(correct[~flagged])},
                "left_out_class": {"flagged": caught.value, "auroc": apart},
            },
        )


SECTION = UnfamiliarSection()


def _accuracies(flagged: NDArray[np.bool_], others: NDArray[np.bool_]) -> tuple[str, ...]:
    if not len(flagged) or not len(others):
        return ()
    return (
        f"Of the flagged test images {percent(_mean(flagged))} are answered right, of the others {percent(_mean(others))}.",
    )


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _by_class(evidence: Evidence, flagged: NDArray[np.bool_], caught: NDArray[np.bool_]) -> Table:
    """Return the fraction of each class that is flagged, for at most 30 classes, the most flagged first."""
    rows = []
    for number, name in enumerate(evidence.classes):
        own, val = evidence.test.targets == number, evidence.val.targets == number
        rows.append((-_mean(flagged[own]), (name, percent(_mean(flagged[own])), percent(_mean(caught[val])))))
    rows.sort(key=lambda row: np.nan_to_num(row[0], nan=1.0))
    head = ("class", "flagged on test", "flagged if the class were new")
    return Table("Unfamiliar images by class", head, tuple(row for _, row in rows[:30]), (1, 2))
