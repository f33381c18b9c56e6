"""The labels of images as findings for `raytl report`: every label that is not nearly excluded, present or absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.metrics import multilabel
from raytl.metrics.findings import BACKGROUND, CORRECT, Findings, Wanted
from raytl.tasks.findings import FindingKind
from raytl.tasks.multilabel.scores import probabilities
from raytl.tasks.multilabel.targets import UNKNOWN, encode
from raytl.tasks.task import Rows

SECTIONS: tuple[str, ...] = (
    "calibration", "thresholds", "context", "unfamiliar", "slices", "fairness", "suspects", "robustness",
)  # fmt: skip
LEAST = 0.01
"""The probability from which a label is a finding: with many labels nearly all of them are absent, and are not stored. A label
that the model reports below it is one too."""


def findings(truths: Sequence[Any], rows: Rows, classes: Sequence[str]) -> Findings:
    """Return the labels of a split from the calibrated logits and the thresholds in `rows`; unknown labels are left out."""
    vectors, table, thresholds = np.stack(list(truths)), probabilities(rows[0]), rows[1][0]
    facts = multilabel.facts(vectors, table, thresholds)
    image, label = np.nonzero((vectors >= 0) & (table >= np.minimum(LEAST, thresholds)))
    wanted_image, wanted_label = np.nonzero(vectors == 1)
    place = np.full(vectors.shape, -1)
    place[wanted_image, wanted_label] = np.arange(len(wanted_image))
    truth = place[image, label]
    return Findings(
        image=image,
        label=label,
        confidence=table[image, label],
        error=np.where(truth >= 0, CORRECT, BACKGROUND),
        truth=truth,
        size=np.full(len(image), -1),
        boxes=np.zeros((len(image), 0), np.float32),
        wanted=Wanted(
            image=wanted_image,
            label=wanted_label,
            size=np.full(len(wanted_image), -1),
            confidence=table[wanted_image, wanted_label],
            boxes=np.zeros((len(wanted_image), 0), np.float32),
        ),
        thresholds=thresholds.astype(np.float64),
        score=multilabel.image_f1(facts),
        unknown=vectors == UNKNOWN,
    )


def unknown_labels(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return True where it is not known whether an image has a label, `(n, labels)`."""
    return np.asarray(encode(samples, classes) == UNKNOWN)


FINDINGS = FindingKind(
    findings, "label", "present label", "F1", "image-classification", has_places=False, unknown=unknown_labels
)
