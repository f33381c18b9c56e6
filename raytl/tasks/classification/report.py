"""The report of an evaluation as a value, as JSON and as Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.confusion import cells_of
from raytl.metrics.intervals import Estimates, Interval
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import plain
from raytl.tasks import markdown
from raytl.tasks.markdown import cell, drawn, table
from raytl.tasks.reliability import CHART, DESCRIPTION, Calibration, calibration_text
from raytl.tasks.reporting import ClassScores, Subject
from raytl.tasks.score_text import interval_text, score_text, title
from raytl.tasks.stored_scores import Mistake

_CONFUSIONS = 10
_DEFINITIONS = (
    "Balanced accuracy is the mean recall, macro F1 the mean F1 over classes; a dash is an undefined "
    "score (no such image, or never predicted). Calibration error: 15 bins of equal width."
)


@dataclass(frozen=True, repr=False)
class Report:
    """The evaluation of a run on one split: every score with its interval, and where the report is written.

    `matrix (classes, classes)` has the true classes in rows. `look` is the number of this evaluation of the test split,
    None on another split; `looks` are all evaluations of the test split so far. `folder` holds `report.md`,
    `report.json`, `confusion.png`, `reliability.png` and `worst.png`. A notebook shows the report as HTML. `calibration` is None if the model is
    not calibrated, and `has_reliability` False if the folder lacks `reliability.png`, as those of earlier versions do.
    """

    subject: Subject
    classes: tuple[str, ...]
    estimates: Estimates
    matrix: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]
    look: int | None
    looks: tuple[LedgerEntry, ...]
    resamples: int
    folder: str
    calibration: Calibration | None = None
    has_reliability: bool = True

    @property
    def images(self) -> int:
        """The number of photos that were scored."""
        return int(self.matrix.sum())

    @property
    def overall(self) -> dict[str, Interval]:
        """Every score of the whole split with its interval."""
        return self.estimates.overall

    @property
    def by_class(self) -> ClassScores:
        """Precision, recall and F1 of each class."""
        each = self.estimates
        columns = {"precision": each.precision, "recall": each.recall, "f1": each.f1}
        return ClassScores(self.classes, each.support, "images", columns)

    @property
    def highlights(self) -> str:
        """The number of worst mistakes."""
        return f"{len(self.mistakes):,} worst mistake{'' if len(self.mistakes) == 1 else 's'}"

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the picture files."""
        return ("confusion.png", *([CHART] if self.has_reliability else []), "worst.png")

    @property
    def metrics(self) -> dict[str, float]:
        """The scores without their intervals."""
        return {name: each.value for name, each in self.estimates.overall.items()}

    @property
    def is_again(self) -> bool:
        """True if the test split had been evaluated before."""
        return self.look is not None and self.look > 1

    def __repr__(self) -> str:
        scores = ", ".join(f"{title(name)} {score_text(name, value)}" for name, value in self.metrics.items())
        again = f", evaluation {self.look}" if self.is_again else ""
        return f"Report({self.subject.run}, {self.subject.split} split{again}, {self.images} images: {scores})"

    def _repr_html_(self) -> str:
        """Return the report as HTML; notebooks call this."""
        from raytl.tasks.classification.page import as_html

        return as_html(self)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in JSON's types; undefined scores are null."""
        return as_json(self)

    def to_markdown(self) -> str:
        """Return the report as a Markdown page, with the pictures of the same folder."""
        return as_markdown(self)


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report in JSON's types; undefined scores are null."""
    each = report.estimates
    per_class = {
        name: {
            "support": each.support[place],
            "precision": asdict(each.precision[place]),
            "recall": asdict(each.recall[place]),
            "f1": asdict(each.f1[place]),
        }
        for place, name in enumerate(report.classes)
    }
    value = {
        **asdict(report.subject),
        "images": report.images,
        "look": report.look,
        "metrics": {name: asdict(interval) for name, interval in each.overall.items()},
        "classes": per_class,
        "confusion": {"classes": report.classes, "cells": cells_of(report.matrix)},
        "mistakes": [asdict(mistake) for mistake in report.mistakes],
        "looks": [asdict(look) for look in report.looks],
        "intervals": {
            "method": f"percentile bootstrap over {drawn(report.subject)}",
            "level": 0.95,
            "resamples": report.resamples,
        },
        "folder": report.folder,
    }
    if report.calibration is not None:
        value["calibration"] = asdict(report.calibration)
    return dict(plain(value))


def as_markdown(report: Report) -> str:
    """Return the report as a Markdown page, with the pictures of the same folder."""
    parts = [
        markdown.heading(report),
        _headline(report),
        markdown.again(report),
        markdown.overall(report),
        calibration_text(report.calibration, report.metrics),
        f"![{DESCRIPTION}]({CHART})" if report.has_reliability else "",
        markdown.classes(report),
        _confusions(report),
        _mistakes(report),
        markdown.method(report, report.resamples, [_DEFINITIONS]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(report: Report) -> str:
    accuracy = report.estimates.overall["accuracy"]
    return (
        f"**Accuracy {score_text('accuracy', accuracy.value)}** (95 % interval {interval_text('accuracy', accuracy)}) on "
        f"{report.images} images of {sum(count > 0 for count in report.estimates.support)} classes, `{report.subject.model}`."
    )


def _confusions(report: Report) -> str:
    wrong = report.matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [divmod(int(flat), len(report.classes)) for flat in order if wrong.flat[flat]]
    picture = "## Confusions\n\n![Confusion matrix](confusion.png)"
    if not cells:
        return picture
    support = report.estimates.support
    rows = [
        (
            cell(report.classes[i]),
            cell(report.classes[j]),
            str(wrong[i, j]),
            f"{100 * wrong[i, j] / support[i]:.0f} %",
        )
        for i, j in cells
    ]
    return picture + "\n\n" + table(("true", "predicted", "images", "of the class"), rows, right_aligned={2, 3})


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return "## Worst mistakes\n\nNo photo was misclassified."
    rows = [(cell(m.key), cell(m.true), cell(m.predicted), f"{100 * m.probability:.1f} %") for m in report.mistakes]
    heading = "## Worst mistakes\n\nMisclassified with the highest confidence. Check these for wrong labels first.\n\n"
    return (
        heading
        + "![Worst mistakes](worst.png)\n\n"
        + table(("photo", "true", "predicted", "probability"), rows, right_aligned={3})
    )
