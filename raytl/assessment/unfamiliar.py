"""Section: does the model know what it does not know? The distance of an image to the training images, on the model's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.section import Evidence, Options, SectionResult, Table
from raytl.assessment.texts import bounds, percent
from raytl.metrics.conformal import set_cut
from raytl.metrics.grouped import fraction_of
from raytl.metrics.unfamiliar import auroc, balanced_rows, knn_distance, neighbors
from raytl.run.operating import MAX_REFERENCE_BYTES, Features

ALPHA = 0.05
"""The fraction of familiar images that is flagged."""
MIN_IMAGES = 19
"""Validation images below which no distance is exceeded by 5 % at most."""
TITLE = "Unfamiliar images: does it know what it does not know?"


@dataclass(frozen=True, eq=False)
class Limit:
    """The `distance` to neighbor number `neighbors` of the reference, `features (m, d)` of the classes `targets (m,)`, that a
    fraction `ALPHA` of the validation images exceeds; `familiar (n,)` are the distances of those."""

    features: Features
    targets: NDArray[np.int64]
    neighbors: int
    distance: float
    familiar: NDArray[np.float64]


def limit_of(evidence: Evidence) -> Limit | None:
    """Return the limit of unfamiliar images; None if images or features are too few.

    The reference is that of predictions: the train split, or as many images of it, of each class, as its file has room for.
    """
    train, val = evidence.train, evidence.val
    if train is None or not _has_features(evidence) or len(val) < MIN_IMAGES:
        return None
    rows = balanced_rows(train.targets, max(1, MAX_REFERENCE_BYTES // train.features[0].nbytes))
    reference, k = train.features[rows], neighbors(len(rows))
    familiar = knn_distance(val.features, reference, k)
    return Limit(reference, train.targets[rows], k, set_cut(familiar, ALPHA), familiar)


def _has_features(evidence: Evidence) -> bool:
    splits = (evidence.train, evidence.val, evidence.test)
    return all(split is not None and len(split) and split.features.shape[1] for split in splits)


class UnfamiliarSection:
    """See `raytl.assessment.section.Section`."""

    name = "unfamiliar"
    needs_train = True

    def __call__(self, evidence: Evidence, options: Options) -> SectionResult:
        """Return the distance from which an image is unfamiliar, and tests of it."""
        val, test, limit = evidence.val, evidence.test, limit_of(evidence)
        if limit is None:
            return SectionResult(TITLE, (_why_not(evidence),))
        k, distance = limit.neighbors, limit.distance
        flagged = knn_distance(test.features, limit.features, k) > distance
        correct = test.correct
        alarms = fraction_of(flagged, test.sampling_groups)
        near = knn_distance(val.features, limit.features, k, (val.targets, limit.targets))
        caught = fraction_of(near > distance, val.sampling_groups)
        apart = auroc(limit.familiar, near)
        return SectionResult(
            title=TITLE,
            sentences=(
                f"An image is unfamiliar if its distance to its training neighbor number {k} is above {distance:.3f}, which "
                f"{percent(ALPHA)} at most of images like those of validation exceed. On test it flags {bounds(alarms)}.",
                *_accuracies(correct[flagged], correct[~flagged]),
                f"Near test: without the training images of their own class, {bounds(caught)} of the validation images are "
                f"flagged (AUROC {apart:.3f}). The network was trained with that class, so a new class may be harder.",
            ),
            tables=(_by_class(evidence, flagged, near > distance),),
            json={
                "neighbors": k,
                "distance": distance,
                "reference": len(limit.targets),
                "test_flagged": [alarms.value, alarms.low, alarms.high],
                "accuracy": {"flagged": _mean(correct[flagged]), "others": _mean(correct[~flagged])},
                "left_out_class": {"flagged": caught.value, "auroc": apart},
            },
        )


SECTION = UnfamiliarSection()


def _why_not(evidence: Evidence) -> str:
    if evidence.train is None:
        return "Not measured with --quick: it compares images with the train split."
    if not _has_features(evidence):
        return "Not measured: the evaluation stored no features of this model's images."
    return f"Not measured: it needs {MIN_IMAGES} validation images, and there are {len(evidence.val)}."


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
