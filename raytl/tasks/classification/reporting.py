"""The reports, predictions and comparisons of a classifier. Rows hold its logits `(n, classes)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.metrics.confusion import confusion_matrix
from raytl.metrics.intervals import bootstrap
from raytl.metrics.paired import Paired
from raytl.metrics.scores import softmax
from raytl.tasks.classification import outcomes, stored, table
from raytl.tasks.classification.comparison import GATE_METRICS, comparison, first_version
from raytl.tasks.classification.features import extract
from raytl.tasks.classification.prediction import Prediction
from raytl.tasks.classification.render import pictures
from raytl.tasks.classification.report import Report
from raytl.tasks.classification.targets import decisions, encode_targets
from raytl.tasks.reliability import CHART, calibration_of, draw_reliability
from raytl.tasks.reporting import Evaluated, Occasion, OpenPhoto, Reading, TaskComparison
from raytl.tasks.stored_scores import Mistake

MISTAKES = 16
"""Worst mistakes in a report."""
Logits = NDArray[np.float32]


class ClassificationReporting:
    """See `raytl.tasks.reporting.Reporting`."""

    gate_metrics = GATE_METRICS
    formats = table.FORMATS
    check_output = staticmethod(table.check_output)
    stored = staticmethod(stored.stored)
    features = staticmethod(extract)

    def report(self, occasion: Occasion, evaluated: Evaluated) -> Report:
        """Return every score with its interval, and the most confident mistakes."""
        targets, probabilities = _targets(evaluated), _probabilities(evaluated)
        return Report(
            subject=occasion.subject,
            classes=evaluated.classes,
            estimates=bootstrap(targets, probabilities, resamples=occasion.resamples, groups=evaluated.groups),
            matrix=confusion_matrix(targets, probabilities.argmax(axis=1), len(evaluated.classes)),
            mistakes=_worst(evaluated.samples, targets, probabilities, evaluated.classes),
            look=occasion.look,
            looks=occasion.looks,
            resamples=occasion.resamples,
            folder=occasion.folder,
            calibration=calibration_of(evaluated, decisions),
        )

    def resampled(self, evaluated: Evaluated, metric: str) -> None:
        """Return None: a validation gathers no facts that take time."""

    def draw(self, report: Report, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
        """Write the confusion matrix, the reliability and the worst mistakes into `folder`."""
        pictures(report, folder, photo)
        draw_reliability(evaluated, decisions, folder / CHART)

    def outcomes(self, evaluated: Evaluated) -> bytes:
        """Return the true and the predicted class of each image, as JSON lines."""
        return outcomes.encoded(evaluated.samples, evaluated.classes, _probabilities(evaluated), evaluated.groups)

    def paired_outcomes(self, before: tuple[bytes, str], after: tuple[bytes, str]) -> tuple[tuple[Paired, ...], str]:
        """Return paired tests by accuracy and balanced accuracy."""
        rows = [list(outcomes.OUTCOME_FORMAT.lines(*each)) for each in (before, after)]
        return outcomes.paired_outcomes(*rows)

    def predictions(
        self, answers: Sequence[Logits], classes: tuple[str, ...], photos: Sequence[str | None]
    ) -> list[Prediction]:
        """Return the probabilities of each photo."""
        rows = _rows(answers, classes).tolist()
        return [
            Prediction(dict(zip(classes, row, strict=True)), photo) for row, photo in zip(rows, photos, strict=True)
        ]

    def table(self, answers: Sequence[Logits], classes: tuple[str, ...], reading: Reading) -> table.Predictions:
        """Return the table of all probabilities."""
        return table.Predictions(
            reading.paths,
            classes,
            _rows(answers, classes),
            reading.unreadable,
            reading.weights,
            reading.left_out,
            reading.judgements,
        )

    def compare(
        self, champion: Evaluated | None, challenger: Evaluated, fresh: Sequence[bool], metric: str, confidence: float
    ) -> TaskComparison:
        """Compare two models by their probabilities on the same images."""
        classes = challenger.classes[: challenger.own]
        targets, new = encode_targets(challenger.samples, classes), _probabilities(challenger)
        if champion is None:
            return first_version(targets, new, classes)
        old, old_classes = _probabilities(champion), champion.classes[: champion.own]
        marks, groups = np.asarray(fresh, bool), challenger.groups
        return comparison(targets, old, old_classes, new, classes, marks, metric, confidence, groups)


def _targets(evaluated: Evaluated) -> NDArray[np.int64]:
    return encode_targets(evaluated.samples, evaluated.classes)


def _probabilities(evaluated: Evaluated) -> NDArray[np.float64]:
    return softmax(evaluated.rows[0])


def _rows(answers: Sequence[Logits], classes: Sequence[str]) -> NDArray[np.float64]:
    return softmax(np.stack(answers)) if len(answers) else np.zeros((0, len(classes)))


def _worst(
    samples: Sequence[Sample], targets: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]
) -> tuple[Mistake, ...]:
    """Return the misclassified photos, the most confident first."""
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != targets)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return tuple(
        Mistake(samples[i].key, samples[i].path, samples[i].label, classes[predicted[i]], float(sure[i])) for i in worst
    )


REPORTING = ClassificationReporting()
