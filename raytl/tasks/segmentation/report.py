"""The report of class maps: mIoU and others with intervals, IoU by class, confusions of pixels, worst images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from raytl.metrics import segmentation
from raytl.metrics.intervals import estimates
from raytl.metrics.segmentation import Facts
from raytl.tasks.detection.report import draw_worst, place_of
from raytl.tasks.drawing import draw_classes, legend
from raytl.tasks.reporting import ClassScores, Evaluated, Occasion, OpenPhoto
from raytl.tasks.score_report import MAX_WORST, ReportKind, ScoreReport, WorstImage
from raytl.tasks.segmentation import plots, scores
from raytl.tasks.segmentation.thumbnail import unpacked
from raytl.tasks.sheet import PANEL_PX, Pair

_OVERALL = ("miou", "dice", "pixel_accuracy", "boundary_f")
_COLUMNS = {"dice": "dice_by_class", "boundary_f": "boundary_f_by_class", "iou": "iou"}


def report(occasion: Occasion, evaluated: Evaluated) -> ScoreReport:
    """Return every score with its interval, and the images with the lowest IoU."""
    facts, classes = scores.facts(evaluated.rows, evaluated.classes), evaluated.classes
    intervals = estimates(
        partial(segmentation.measure, facts), len(facts.hits), resamples=occasion.resamples, groups=evaluated.groups
    )
    return ScoreReport(
        kind=KIND,
        subject=occasion.subject,
        images=len(facts.hits),
        overall={name: intervals[name][0] for name in _OVERALL},
        by_class=ClassScores(
            classes,
            tuple(facts.support.sum(axis=0).tolist()),
            "pixels",
            {title: intervals[name] for title, name in _COLUMNS.items()},
        ),
        confusion=scores.validation(evaluated.truths, evaluated.rows, classes).confusion,
        worst=worst(evaluated, facts),
        look=occasion.look,
        looks=occasion.looks,
        resamples=occasion.resamples,
        folder=occasion.folder,
    )


def worst(evaluated: Evaluated, facts: Facts) -> tuple[WorstImage, ...]:
    """Return the images with the lowest mean IoU over the classes in their truth or prediction; none without a mistake."""
    union = facts.calls + facts.support - facts.hits
    iou = np.divide(facts.hits, union, out=np.full(union.shape, np.nan), where=union > 0)
    wrong = (facts.support - facts.hits).sum(axis=1)
    means = np.nansum(iou, axis=1) / np.maximum((union > 0).sum(axis=1), 1)
    order = [i for i in np.argsort(means, kind="stable").tolist() if wrong[i]][:MAX_WORST]
    notes = []
    for i in order:
        lowest = int(np.nanargmin(iou[i]))
        fraction = 100 * wrong[i] / facts.support[i].sum()
        notes.append(f"{fraction:.0f} % of pixels, lowest {evaluated.classes[lowest]}")
    samples = evaluated.samples
    return tuple(
        WorstImage(samples[i].key, samples[i].path, float(means[i]), note) for i, note in zip(order, notes, strict=True)
    )


def draw(report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
    """Write the charts, and the worst images with their class maps."""
    confusion, scored = report.confusion, report.by_class
    plots.confusion(confusion.counts, confusion.names, folder / "confusion.png")
    plots.iou_bars(scored.classes, scored.columns["iou"], folder / "iou.png", report.overall["miou"])
    draw_worst(report, folder, [_pair(each, evaluated, photo) for each in report.worst])


def _pair(image: WorstImage, evaluated: Evaluated, photo: OpenPhoto) -> Pair | None:
    picture, place, classes = photo(image.path), place_of(image, evaluated), evaluated.classes
    if picture is None or place is None:
        return None
    truth, answer = evaluated.truths[place], unpacked(evaluated.rows[1][place])
    present = sorted(set(np.unique(truth).tolist()) | set(np.unique(answer).tolist()))
    drawn = [draw_classes(picture, each, classes, PANEL_PX, with_legend=False) for each in (truth, answer)]
    return Pair(legend(drawn[0], present, classes), drawn[1], image.key, image.note)


KIND = ReportKind(
    headline="miou",
    counted="pixels",
    confusions="Pixels of all images; void ones are left out. The cells of the picture are percent of the true class.",
    image_score="IoU",
    definitions=(
        "Pixels are added over all images; void ones are left out. mIoU and Dice are means over the classes that occur in "
        "truth or prediction. Boundary F compares boundary pixels within 0.75 % of the diagonal of the image.",
        "The IoU of an image is the mean over the classes in its truth or prediction.",
    ),
    charts=(("confusion.png", "Confusion matrix"), ("iou.png", "IoU by class")),
    draw=draw,
)
