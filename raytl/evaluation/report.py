"""The report of an evaluation as a value, as JSON and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.evaluation.score_text import interval_text, score_text, title
from raytl.metrics.confusion import cells_of
from raytl.metrics.intervals import Estimates, Interval
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import plain
from raytl.sanitize import printable

_CONFUSIONS = 10


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photo that was predicted as another class; `probability` is that of the predicted class."""

    key: str
    path: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True, slots=True)
class Subject:
    """The run and split that were evaluated: `weights` is the digest of the model, `data` that of the split."""

    run: str
    model: str
    split: str
    weights: str
    data: str
    skipped: int


@dataclass(frozen=True, repr=False)
class Report:
    """The evaluation of a run on one split: every score with its interval, and where the report is written.

    `matrix (classes, classes)` has the true classes in rows. `look` is the number of this evaluation of the test split,
    None on another split; `looks` are all evaluations of the test split so far. `folder` holds `report.md`,
    `report.json`, `confusion.png` and `worst.png`. A notebook shows the report as HTML.
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

    @property
    def images(self) -> int:
        """The number of photos that were scored."""
        return int(self.matrix.sum())

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
        from raytl.evaluation.page import as_html

        return as_html(self)


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
        "intervals": {"method": "percentile bootstrap over images", "level": 0.95, "resamples": report.resamples},
        "folder": report.folder,
    }
    return dict(plain(value))


def as_markdown(report: Report) -> str:
    """Return the report as a Markdown page, with the pictures of the same folder."""
    parts = [
        _opening(report),
        _overall(report),
        _classes(report),
        _confusions(report),
        _mistakes(report),
        _method(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(report: Report) -> str:
    accuracy = report.estimates.overall["accuracy"]
    lines = [
        f"# {_cell(report.subject.run)}: {report.subject.split} split"
        + (f", evaluation {report.look}" if report.is_again else ""),
        f"**Accuracy {score_text('accuracy', accuracy.value)}** (95 % interval {interval_text('accuracy', accuracy)}) on "
        f"{report.images} images of {sum(count > 0 for count in report.estimates.support)} classes, `{report.subject.model}`.",
    ]
    if report.is_again:
        lines.append(
            f"> **Look {report.look}.** This test split was evaluated before. Decisions since then may have been "
            "guided by it, so these numbers may be optimistic. All looks are listed below."
        )
    return "\n\n".join(lines)


def _overall(report: Report) -> str:
    rows = [
        (title(name), score_text(name, each.value), interval_text(name, each))
        for name, each in report.estimates.overall.items()
    ]
    return _table(("score", "value", "95 % interval"), rows, right_aligned={1, 2})


def _classes(report: Report) -> str:
    each = report.estimates
    rows = [
        (_cell(name), str(each.support[i]), *(_with_bounds(part[i]) for part in (each.precision, each.recall, each.f1)))
        for i, name in enumerate(report.classes)
    ]
    return "## Classes\n\n" + _table(("class", "images", "precision", "recall", "F1"), rows, right_aligned={1, 2, 3, 4})


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
            _cell(report.classes[i]),
            _cell(report.classes[j]),
            str(wrong[i, j]),
            f"{100 * wrong[i, j] / support[i]:.0f} %",
        )
        for i, j in cells
    ]
    return picture + "\n\n" + _table(("true", "predicted", "images", "of the class"), rows, right_aligned={2, 3})


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return "## Worst mistakes\n\nNo photo was misclassified."
    rows = [(_cell(m.key), _cell(m.true), _cell(m.predicted), f"{100 * m.probability:.1f} %") for m in report.mistakes]
    heading = "## Worst mistakes\n\nMisclassified with the highest confidence. Check these for wrong labels first.\n\n"
    return (
        heading
        + "![Worst mistakes](worst.png)\n\n"
        + _table(("photo", "true", "predicted", "probability"), rows, right_aligned={3})
    )


def _method(report: Report) -> str:
    subject = report.subject
    left_out = f"; {subject.skipped} unreadable images of the data set were skipped (skipped.jsonl)" * bool(
        subject.skipped
    )
    lines = [
        f"- Weights: best checkpoint, `{subject.weights}`.",
        f"- Data: {report.images} images of the {subject.split} split, `{subject.data}`, with the sha256 of every file "
        f"as recorded when the run began{left_out}.",
        f"- Intervals: percentile bootstrap, {report.resamples} resamples of the images. They show how much the "
        "score varies with other photos of the same kind, not with other training seeds. An interval of zero width, as "
        "for a class without a mistake, means too few photos, not certainty.",
        "- Balanced accuracy is the mean recall, macro F1 the mean F1 over classes; a dash is an undefined "
        "score (no such image, or never predicted). Calibration error: 15 bins of equal width.",
    ]
    return "## How this was measured\n\n" + "\n".join(lines) + "\n" + _looks(report.looks)


def _looks(looks: Sequence[LedgerEntry]) -> str:
    if not looks:
        return "- The test split of this run has not been evaluated."
    lines = [
        f"  {each.look}. {_cell(each.when)} by {_cell(each.who)}, weights {_cell(each.weights[:12])}" for each in looks
    ]
    return "\n".join([f"- Evaluations of this run's test split: {len(looks)}", *lines])


def _with_bounds(each: Interval) -> str:
    return "–" if np.isnan(each.value) else f"{100 * each.value:.1f} ({100 * each.low:.0f}–{100 * each.high:.0f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right_aligned: set[int]) -> str:
    marks = ["---:" if place in right_aligned else "---" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def _cell(text: str) -> str:
    """Return a name for a Markdown table: line breaks as spaces, markup escaped."""
    line = " ".join(printable(text.encode("utf-8", "backslashreplace").decode()).split())
    return "".join("\\" + mark if mark in r"\`*_|<>[]#" else mark for mark in line)
