"""The operating points of a report, from its evidence, as `raytl predict` applies them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.assessment.prediction_sets import ALPHAS
from raytl.assessment.section import Evidence, SplitEvidence
from raytl.assessment.thresholds import ACCURACIES
from raytl.assessment.unfamiliar import limit_of
from raytl.errors import RunError
from raytl.metrics.aim import Aim
from raytl.metrics.certified import ANSWER_GRID, RECALL_GRID, answer_counts, recall_counts
from raytl.metrics.conformal import set_cut
from raytl.models.card import Card
from raytl.run.operating import (
    Familiarity,
    Features,
    OperatingPoints,
    SetLevel,
    Tally,
    Tried,
    encoded_reference,
    read_operating,
    read_reference,
)


def operating_points(
    evidence: Evidence, card: Card, look: int, required: tuple[Aim, ...], evaluation: Path
) -> tuple[OperatingPoints, bytes | None]:
    """Return the operating points of the model of `card`, and the reference file of its unfamiliar images, None without a limit.

    Without evidence of train, the limit of an earlier report on the same model is kept, from the `evaluation` folder of its run.
    """
    limit, reference = _measured(evidence) if evidence.train is not None else _earlier(card, evaluation)
    points = OperatingPoints(
        format=1,
        weights=card.digest,
        temperature=card.temperature,
        classes=card.classes,
        look=look,
        answer_grid=tuple(ANSWER_GRID.tolist()),
        answers=Tried(*(_answers(split) for split in (evidence.val, evidence.test))),
        recall_grid=tuple(RECALL_GRID.tolist()),
        recalls=tuple(
            Tried(*(_recall(split, number) for split in (evidence.val, evidence.test)))
            for number in range(len(card.classes))
        ),
        sets=tuple(SetLevel(1 - alpha, _set_probability(evidence.val, alpha)) for alpha in ALPHAS),
        unfamiliar=limit,
        aims=tuple(dict.fromkeys((*required, *map(Aim, ACCURACIES)))),
        of_groups=evidence.val.groups is not None,
    )
    return points, reference


def _answers(split: SplitEvidence) -> Tally:
    return _tally(*answer_counts(split.probabilities.max(axis=1), split.correct, split.groups))


def _recall(split: SplitEvidence, number: int) -> Tally:
    own = split.targets == number
    return _tally(*recall_counts(split.probabilities[own, number], split.groups_of(own)))


def _tally(hits: NDArray[Any], images: NDArray[Any]) -> Tally:
    return Tally(tuple(hits.tolist()), tuple(images.tolist()))


def _set_probability(val: SplitEvidence, alpha: float) -> float | None:
    """Return the probability itself that is the cut of the sets; 1 - (1 - p) may exceed p, and leave out a tied one."""
    own = val.probabilities[np.arange(len(val)), val.targets]
    limit = set_cut(-own, alpha)
    return -limit if np.isfinite(limit) else None


def _measured(evidence: Evidence) -> tuple[Familiarity | None, bytes | None]:
    limit = limit_of(evidence)
    if limit is None:
        return None, None
    return _with_file(limit.features, limit.neighbors, limit.distance)


def _earlier(card: Card, evaluation: Path) -> tuple[Familiarity | None, bytes | None]:
    try:
        points = read_operating(evaluation)
        if points is None or points.unfamiliar is None or not points.is_of(card.digest, card.classes, card.temperature):
            return None, None
        earlier = points.unfamiliar
        return _with_file(read_reference(evaluation, earlier), earlier.neighbors, earlier.distance)
    except RunError:  # damaged; the limit is measured again by a report that reads the train split
        return None, None


def _with_file(features: Features, neighbors: int, distance: float) -> tuple[Familiarity, bytes]:
    content = encoded_reference(features)
    return Familiarity(neighbors, distance, len(features), hashlib.sha256(content).hexdigest()), content
