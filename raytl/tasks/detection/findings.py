"""The findings of detections, for `raytl report`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytl.data.targets import Boxes, Instances
from raytl.metrics.findings import Findings
from raytl.metrics.matching import Scene
from raytl.metrics.scene_findings import scene_findings
from raytl.tasks.detection import scores
from raytl.tasks.detection.answer import Detections
from raytl.tasks.detection.reporting import image_scores
from raytl.tasks.findings import FindingKind
from raytl.tasks.task import Rows

SECTIONS = ("calibration", "thresholds", "sizes", "unfamiliar", "slices", "fairness", "suspects", "robustness")


def findings(truths: Sequence[Boxes | Instances], rows: Rows, classes: Sequence[str]) -> Findings:
    """Return the detections of a split beside the objects.

    Raises:
        KeyError: `classes` lacks a label.
    """
    return objects_findings(
        scores.scenes(truths, rows, classes), scores.answers_of(rows), truths, classes, scores.predict_score(rows)
    )


def objects_findings(
    scenes: Sequence[Scene],
    answers: Sequence[Detections],
    truths: Sequence[Boxes | Instances],
    classes: Sequence[str],
    score: float,
) -> Findings:
    """Return the findings in matched images, reported from `score` on; the score of an image is its F1, counted as in the report of
    `evaluate`."""
    return scene_findings(
        scenes,
        [answer.boxes for answer in answers],
        [scores.boxes_and_areas(truth)[0].astype(np.float32) for truth in truths],
        np.full(len(classes), score),
        image_scores(scenes, len(classes), score),
    )


FINDINGS = FindingKind(findings, "detection", "object", "F1", "object-detection")
