"""The report of labels: average precision and F1 with intervals, curves by label, confusions, worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.metrics import multilabel
from raytl.metrics.draws import Groups
from raytl.metrics.intervals import Interval, class_ends, estimates, f1_end, mean_end, units
from raytl.metrics.multilabel import Facts
from raytl.tasks.detection.report import draw_worst, place_of
from raytl.tasks.drawing import fitted
from raytl.tasks.multilabel import plots
from raytl.tasks.multilabel.scores import confusion_of, probabilities
from raytl.tasks.multilabel.targets import decisions
from raytl.tasks.plots import Curve, curve_of
from raytl.tasks.reliability import CHART, DESCRIPTION, calibration_of, draw_reliability, has_decisions
from raytl.tasks.reporting import ClassScores, Evaluated, Occasion, OpenPhoto
from raytl.tasks.score_report import MAX_WORST, ReportKind, ScoreReport, WorstImage
from raytl.tasks.sheet import PANEL_PX, Pair

_OVERALL = ("map", "macro_f1", "micro_f1", "log_loss", "ece")
_COLUMNS = ("precision", "recall", "f1", "roc_auc", "average_precision")


def report(occasion: Occasion, evaluated: Evaluated) -> ScoreReport:
    """Return every score with its interval, and the images with the most wrong labels."""
    facts, classes = facts_of(evaluated), evaluated.classes
    present, called = facts.targets == 1, facts.predicted & (facts.targets >= 0)
    intervals = estimates(
        partial(multilabel.measure, facts), len(facts.targets), resamples=occasion.resamples, groups=evaluated.groups
    )
    intervals |= class_ends(intervals, np.nonzero(called), np.nonzero(present), evaluated.groups)
    return ScoreReport(
        kind=KIND,
        subject=occasion.subject,
        images=len(facts.targets),
        overall={name: intervals[name][0] for name in _OVERALL}
        | _mean_ends(intervals, present | called, evaluated.groups),
        by_class=ClassScores(
            classes,
            tuple(present.sum(axis=0).tolist()),
            "labels",
            {name: intervals[name] for name in _COLUMNS},
        ),
        confusion=confusion_of(facts.predicted, facts.targets, classes),
        worst=worst(evaluated, facts),
        look=occasion.look,
        looks=occasion.looks,
        resamples=occasion.resamples,
        folder=occasion.folder,
        calibration=calibration_of(evaluated, decisions),
        has_reliability=has_decisions(evaluated, decisions),
    )


def _mean_ends(
    intervals: Mapping[str, Sequence[Interval]], either: NDArray[np.bool_], groups: Groups | None
) -> dict[str, Interval]:
    """Return the F1 over all labels, with exact bounds where it is 1 or 0; `either (n, labels)` are present or predicted."""
    images, labels = either.shape
    whole = images if groups is None else len(np.unique(groups))
    return {
        "macro_f1": mean_end(intervals["macro_f1"][0], units(np.nonzero(either), labels, groups)),
        "micro_f1": f1_end(intervals["micro_f1"][0], whole),
    }


def facts_of(evaluated: Evaluated) -> Facts:
    """Return the facts of the rows: logits and thresholds, `(n, labels)`; truths are vectors of 1, 0 and -1 (unknown)."""
    logits, thresholds = evaluated.rows[:2]
    targets = np.stack([np.asarray(each, dtype=np.int64) for each in evaluated.truths])
    return multilabel.facts(targets, probabilities(logits), thresholds)


def worst(evaluated: Evaluated, facts: Facts) -> tuple[WorstImage, ...]:
    """Return the images with the lowest F1 of their labels, of equals those with the most wrong first."""
    present, absent = facts.targets == 1, facts.targets == 0
    missed, added = present & ~facts.predicted, absent & facts.predicted
    hits, wrong = (present & facts.predicted).sum(axis=1), (missed | added).sum(axis=1)
    f1 = 2 * hits / np.maximum(2 * hits + wrong, 1)
    order = [i for i in np.lexsort((-wrong, f1)).tolist() if wrong[i]][:MAX_WORST]
    samples = evaluated.samples
    return tuple(
        WorstImage(samples[i].key, samples[i].path, float(f1[i]), _note(missed[i], added[i], evaluated.classes))
        for i in order
    )


def _note(missed: NDArray[np.bool_], added: NDArray[np.bool_], classes: Sequence[str]) -> str:
    parts = [("missed", missed), ("added", added)]
    return "; ".join(
        f"{word} {', '.join(classes[i] for i in np.flatnonzero(rows).tolist())}" for word, rows in parts if rows.any()
    )


def draw(report: ScoreReport, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
    """Write the charts, and the worst images."""
    facts, classes = facts_of(evaluated), evaluated.classes
    precision = report.by_class.columns["average_precision"]
    plots.precision_recall(curves(facts, classes, precision), folder / "precision_recall.png")
    plots.average_precision(classes, precision, folder / "average_precision.png", report.overall["map"])
    plots.confusion(report.confusion.counts, report.confusion.names, folder / "confusion.png")
    if report.has_reliability:
        draw_reliability(evaluated, decisions, folder / CHART)
    draw_worst(report, folder, [_pair(each, evaluated, facts, photo) for each in report.worst])


def curves(facts: Facts, classes: Sequence[str], averages: Sequence[Interval]) -> list[Curve]:
    """Return the curve of each label over the images where it is known, with the point of its threshold."""
    drawn = []
    for i, name in enumerate(classes):
        rows = facts.targets[:, i] >= 0
        true, predicted = facts.targets[rows, i] == 1, facts.predicted[rows, i]
        each = curve_of(name, facts.probabilities[rows, i], true, int(true.sum()))
        hits = int((true & predicted).sum())
        point = (hits / true.sum(), hits / predicted.sum()) if hits else None
        drawn.append(replace(each, average=averages[i].value, chosen=point))
    return drawn


def _pair(image: WorstImage, evaluated: Evaluated, facts: Facts, photo: OpenPhoto) -> Pair | None:
    picture, place = photo(image.path), place_of(image, evaluated)
    if picture is None or place is None:
        return None
    picture = fitted(picture, PANEL_PX)
    lines = plots.label_lines(
        evaluated.classes, facts.targets[place], facts.probabilities[place], facts.predicted[place], picture.size
    )
    return Pair(picture, lines, image.key, image.note, "photo")


KIND = ReportKind(
    headline="map",
    counted="labels",
    confusions="A label that is predicted as absent is missed; absent that is predicted as a label is added.",
    image_score="F1",
    definitions=(
        "mAP is the mean over labels of the average precision. A label is predicted if its probability reaches its threshold, "
        "which was chosen on the validation split. Macro F1 is the mean over labels, micro F1 that of all entries. "
        "Unknown labels count nowhere; a dash is an undefined score. Calibration error: 15 bins of equal width, of whether each "
        "known label is present or absent.",
    ),
    charts=(
        ("confusion.png", "Confusion matrix"),
        ("precision_recall.png", "Precision and recall by label"),
        ("average_precision.png", "Average precision by label"),
        (CHART, DESCRIPTION),
    ),
    draw=draw,
)
