"""The report of instances: COCO's scores of masks and boxes with intervals, confusions with the background, worst images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from raytl.metrics import average_precision
from raytl.metrics.intervals import estimates
from raytl.tasks.detection import report as detection
from raytl.tasks.detection import scores as box_scores
from raytl.tasks.drawing import draw_masks, with_names
from raytl.tasks.instances import scores
from raytl.tasks.instances.answer import bitmaps
from raytl.tasks.reporting import Evaluated, Occasion, OpenPhoto
from raytl.tasks.score_report import ReportKind, ScoreReport, WorstImage
from raytl.tasks.sheet import PANEL_PX, Pair

_BOX_NAMES = ("map", "map_50")


def report(occasion: Occasion, evaluated: Evaluated) -> ScoreReport:
    """Return every score of masks with its interval, those of boxes, and the images with the lowest F1."""
    truths, rows, classes = evaluated.truths, evaluated.rows, evaluated.classes
    boxes = box_scores.facts(truths, rows, classes)
    measure = partial(average_precision.measure, boxes, names=_BOX_NAMES)
    intervals = estimates(measure, len(boxes.objects), resamples=occasion.resamples, groups=evaluated.groups)
    of_boxes = {f"box_{name}": intervals[name][0] for name in _BOX_NAMES}
    return detection.scenes_report(KIND, occasion, evaluated, scores.scenes(truths, rows, classes), **of_boxes)


def draw(report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
    """Write the charts, and the worst images with their masks."""
    facts = scores.facts(evaluated.truths, evaluated.rows, evaluated.classes)
    detection.draw_charts(folder, facts, evaluated.classes, report.confusion)
    detection.draw_worst(report, folder, [_pair(each, evaluated, photo) for each in report.worst])


def _pair(image: WorstImage, evaluated: Evaluated, photo: OpenPhoto) -> Pair | None:
    picture, place, classes = photo(image.path), detection.place_of(image, evaluated), evaluated.classes
    if picture is None or place is None:
        return None
    truth = evaluated.truths[place]
    (answer,) = scores.answers_of([truth], tuple(part[place : place + 1] for part in evaluated.rows))
    above = np.flatnonzero(answer.scores >= answer.predict_score)
    masks = bitmaps([answer.counts[i] for i in above], answer.size)
    predicted = draw_masks(
        picture, masks, answer.boxes[above], answer.labels[above], answer.scores[above], classes, PANEL_PX
    )
    corners, _ = box_scores.boxes_and_areas(truth)
    labels, _ = box_scores.labels_and_crowds(truth, classes)
    true_masks = bitmaps([each.counts for each in truth.instances], (truth.width, truth.height))
    drawn = draw_masks(picture, true_masks, corners.astype(np.float32), labels, None, classes, PANEL_PX)
    drawn = with_names(drawn, np.append(labels, answer.labels[above]), classes)
    return Pair(drawn, predicted, image.key, image.note)


KIND = ReportKind(
    "map",
    "objects",
    detection.CONFUSIONS,
    "F1",
    ("Overlaps are those of masks; scores that begin with box use boxes.", *detection.DEFINITIONS),
    detection.CHARTS,
    draw,
)
