"""The report of detections: COCO's scores with intervals, confusions with the background, worst images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from raytl.metrics import average_precision, matching
from raytl.metrics.average_precision import THRESHOLDS, Facts
from raytl.metrics.intervals import Interval, estimates
from raytl.metrics.matching import Scene
from raytl.tasks.detection import plots, scores
from raytl.tasks.detection.scores import background_confusion, predict_score
from raytl.tasks.drawing import draw_boxes, with_names
from raytl.tasks.plots import Curve, curve_of
from raytl.tasks.reporting import ClassScores, Evaluated, Occasion, OpenPhoto
from raytl.tasks.score_report import MAX_WORST, WORST, ReportKind, ScoreReport, WorstImage
from raytl.tasks.sheet import PANEL_PX, Pair, contact_sheet
from raytl.tasks.task import Confusion

CHARTS = (
    ("confusion.png", "Confusion matrix"),
    ("precision_recall.png", "Precision and recall by class"),
    ("scores.png", "Scores of right and wrong detections"),
)
CONFUSIONS = (
    "Detections with a score of at least {score} and an IoU of at least 0.5. An object that is predicted as "
    "background is missed; background that is predicted as a class is a false detection."
)
DEFINITIONS = (
    "mAP is COCO's mean average precision over classes and IoU thresholds 0.50 to 0.95; mAP 50 and mAP 75 are those at one "
    "threshold. mAR 100 is the mean recall of at most 100 detections of an image. A dash is an undefined score (no such object).",
    "The F1 of an image counts detections as the confusions do.",
)
_OVERALL = tuple(name for name in average_precision.NAMES if name not in average_precision.BY_CLASS)
_CURVES = (0, 5)
"""The places of the thresholds 0.5 and 0.75."""


def report(occasion: Occasion, evaluated: Evaluated) -> ScoreReport:
    """Return every score with its interval, and the images with the lowest F1."""
    scenes = scores.scenes(evaluated.truths, evaluated.rows, evaluated.classes)
    return scenes_report(KIND, occasion, evaluated, scenes)


def scenes_report(
    kind: ReportKind, occasion: Occasion, evaluated: Evaluated, scenes: Sequence[Scene], **more: Interval
) -> ScoreReport:
    """Return the report of matched images; `more` are further scores of the whole split."""
    facts = average_precision.facts(scenes, len(evaluated.classes))
    intervals = estimates(
        partial(average_precision.measure, facts), len(scenes), resamples=occasion.resamples, groups=evaluated.groups
    )
    return ScoreReport(
        kind=kind,
        subject=occasion.subject,
        images=len(scenes),
        overall={name: intervals[name][0] for name in _OVERALL} | more,
        by_class=ClassScores(
            evaluated.classes,
            tuple(facts.objects[:, :, 0].sum(axis=0).tolist()),
            "objects",
            {name: intervals[name] for name in ("ap_50", "ar", "ap")},
        ),
        confusion=background_confusion(scenes, evaluated.classes, predict_score(evaluated.rows)),
        worst=worst(evaluated, scenes),
        predict_score=predict_score(evaluated.rows),
        look=occasion.look,
        looks=occasion.looks,
        resamples=occasion.resamples,
        folder=occasion.folder,
    )


def worst(evaluated: Evaluated, scenes: Sequence[Scene]) -> tuple[WorstImage, ...]:
    """Return the images with the lowest F1, of equals those with the most mistakes first; none without a mistake."""
    classes, score = len(evaluated.classes), predict_score(evaluated.rows)
    rows = []
    for i, scene in enumerate(scenes):
        counts = matching.confusion([scene], classes, score=score)
        hits, missed, extra = int(np.trace(counts)), int(counts[:classes, classes].sum()), int(counts[classes].sum())
        confused = int(counts.sum()) - hits - missed - extra
        if mistakes := missed + extra + confused:
            rows.append((2 * hits / (2 * hits + mistakes + confused), -mistakes, i, _note(missed, extra, confused)))
    samples = evaluated.samples
    return tuple(WorstImage(samples[i].key, samples[i].path, f1, note) for f1, _, i, note in sorted(rows)[:MAX_WORST])


def _note(missed: int, extra: int, confused: int) -> str:
    parts = [(missed, "missed"), (extra, "false"), (confused, "of a wrong class")]
    return ", ".join(f"{count} {word}" for count, word in parts if count)


def draw(report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
    """Write the charts, and the worst images with their boxes."""
    scenes = scores.scenes(evaluated.truths, evaluated.rows, evaluated.classes)
    draw_charts(folder, average_precision.facts(scenes, len(evaluated.classes)), evaluated.classes, report.confusion)
    draw_worst(report, folder, [_pair(each, evaluated, photo) for each in report.worst])


def draw_charts(folder: Path, facts: Facts, classes: Sequence[str], confusion: Confusion) -> None:
    """Write the charts of `CHARTS`."""
    plots.confusion(confusion.counts, confusion.names, folder / "confusion.png")
    curves = {float(THRESHOLDS[step]): curves_at(facts, step, classes) for step in _CURVES}
    plots.precision_recall(curves, folder / "precision_recall.png")
    counted = facts.counted[:, 0, 0]
    plots.score_histogram(facts.score[counted], facts.hit[counted, 0, 0], folder / "scores.png")


def curves_at(facts: Facts, step: int, classes: Sequence[str]) -> list[Curve]:
    """Return the curve of each class at the IoU `THRESHOLDS[step]`."""
    objects = facts.objects[:, :, 0].sum(axis=0).tolist()
    counted, hits = facts.counted[:, 0, step], facts.hit[:, 0, step]
    parts = ((facts.label == label) & counted for label in range(len(classes)))
    return [
        curve_of(name, facts.score[rows], hits[rows], objects[label])
        for label, (name, rows) in enumerate(zip(classes, parts, strict=True))
    ]


def draw_worst(report: ScoreReport, folder: Path, pairs: Sequence[Pair | None]) -> None:
    """Write the pairs that could be drawn as one sheet; without any, no file."""
    drawn = [each for each in pairs if each is not None]
    if drawn:
        title = f"The {len(drawn)} worst of {report.images} images, {report.subject.split} split"
        folder.mkdir(parents=True, exist_ok=True)
        contact_sheet(drawn, title).save(folder / WORST)


def _pair(image: WorstImage, evaluated: Evaluated, photo: OpenPhoto) -> Pair | None:
    picture = photo(image.path)
    place = place_of(image, evaluated)
    if picture is None or place is None:  # removed since it was scored; the report still names it
        return None
    (answer,) = scores.answers_of(tuple(part[place : place + 1] for part in evaluated.rows))
    above, classes, truth = answer.scores >= answer.predict_score, evaluated.classes, evaluated.truths[place]
    predicted_labels = answer.labels[above]
    predicted = draw_boxes(picture, answer.boxes[above], predicted_labels, answer.scores[above], classes, PANEL_PX)
    corners, _ = scores.boxes_and_areas(truth)
    labels, _ = scores.labels_and_crowds(truth, classes)
    drawn = draw_boxes(picture, corners.astype(np.float32), labels, None, classes, PANEL_PX)
    return Pair(with_names(drawn, np.append(labels, predicted_labels), classes), predicted, image.key, image.note)


def place_of(image: WorstImage, evaluated: Evaluated) -> int | None:
    """Return the place of an image of the report among the samples; None if it is not there."""
    return next((i for i, sample in enumerate(evaluated.samples) if sample.key == image.key), None)


KIND = ReportKind("map", "objects", CONFUSIONS, "F1", DEFINITIONS, CHARTS, draw)
