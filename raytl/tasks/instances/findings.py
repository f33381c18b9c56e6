"""The findings of instances, by the overlaps of their masks, for `raytl report`."""

from __future__ import annotations

from collections.abc import Sequence

from raytl.data.targets import Instances
from raytl.metrics.findings import Findings
from raytl.tasks.detection.findings import objects_findings
from raytl.tasks.detection.scores import predict_score
from raytl.tasks.findings import FindingKind
from raytl.tasks.instances import scores
from raytl.tasks.task import Rows


def findings(truths: Sequence[Instances], rows: Rows, classes: Sequence[str]) -> Findings:
    """Return the instances of a split beside the objects.

    Raises:
        KeyError: `classes` lacks a label.
    """
    images, answers = scores.scenes(truths, rows, classes), scores.answers_of(truths, rows)
    return objects_findings(images, answers, truths, classes, predict_score(rows))


FINDINGS = FindingKind(findings, "instance", "object", "F1", "image-segmentation")
