"""The report of an evaluation as a value, as JSON and as Markdown, for tasks with scores by class, confusions and worst images.

A task describes its own words, charts and pictures as a `ReportKind`; numbers and layout are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raytl.metrics.confusion import cells_of
from raytl.metrics.intervals import Interval
from raytl.models.predict_score import DEFAULT_SCORE
from raytl.run.ledger import LedgerEntry
from raytl.run.plain import plain
from raytl.tasks import markdown
from raytl.tasks.markdown import cell, drawn, table
from raytl.tasks.reliability import CHART as RELIABILITY
from raytl.tasks.reliability import Calibration, calibration_text
from raytl.tasks.reporting import ClassScores, Evaluated, OpenPhoto, Subject
from raytl.tasks.score_text import interval_text, score_text, title
from raytl.tasks.task import Confusion

WORST = "worst.png"
MAX_WORST = 16
"""Worst images in a report."""
_CONFUSIONS = 10
_SIZES = ("small", "medium", "large")


@dataclass(frozen=True, slots=True)
class WorstImage:
    """An image with a low score of its own; `note` says what is wrong with it."""

    key: str
    path: str
    score: float
    note: str


@dataclass(frozen=True)
class ReportKind:
    """The words and pictures of a task's reports.

    `headline` is the metric in the first line. `counted` is what the confusion counts; `confusions` says so, with
    `{score}` for the lowest score that counts. `image_score` is the score that ranks the
    worst images. `definitions` are sentences on the scores, `charts` pairs of file name and description. `draw` writes all
    pictures, `WORST` among them, into a folder.
    """

    headline: str
    counted: str
    confusions: str
    image_score: str
    definitions: tuple[str, ...]
    charts: tuple[tuple[str, str], ...]
    draw: Callable[[ScoreReport, Path, Evaluated, OpenPhoto], None]


@dataclass(frozen=True, repr=False)
class ScoreReport:
    """The evaluation of a run on one split: every score with its interval, and where the report is written.

    `look` is the number of this evaluation of the test split, None on another split; `looks` are all evaluations of the test
    split so far. `folder` holds `report.md`, `report.json` and the pictures. A notebook shows the report as Markdown.
    `has_reliability` is False if the reliability chart was not drawn, though the kind has one. `predict_score` is the lowest
    score of the objects that are counted; None for other tasks.
    """

    kind: ReportKind
    subject: Subject
    images: int
    overall: dict[str, Interval]
    by_class: ClassScores
    confusion: Confusion
    worst: tuple[WorstImage, ...]
    look: int | None
    looks: tuple[LedgerEntry, ...]
    resamples: int
    folder: str
    calibration: Calibration | None = None
    has_reliability: bool = True
    predict_score: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The scores without their intervals."""
        return {name: each.value for name, each in self.overall.items()}

    @property
    def is_again(self) -> bool:
        """True if the test split had been evaluated before."""
        return self.look is not None and self.look > 1

    @property
    def highlights(self) -> str:
        """The number of worst images."""
        return f"{len(self.worst):,} worst image{'' if len(self.worst) == 1 else 's'}"

    @property
    def charts(self) -> tuple[tuple[str, str], ...]:
        """The file names and descriptions of the charts that were drawn."""
        return tuple(each for each in self.kind.charts if self.has_reliability or each[0] != RELIABILITY)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the picture files."""
        return (*(name for name, _ in self.charts), *([WORST] if self.worst else []))

    def __repr__(self) -> str:
        headline = self.kind.headline
        again = f", evaluation {self.look}" if self.is_again else ""
        score = f"{title(headline)} {score_text(headline, self.overall[headline].value)}"
        return f"ScoreReport({self.subject.run}, {self.subject.split} split{again}, {self.images} images: {score})"

    def _repr_markdown_(self) -> str:
        """Return the report as Markdown; notebooks call this."""
        return self.to_markdown()

    def to_json(self) -> dict[str, Any]:
        """Return the whole report in JSON's types; undefined scores are null."""
        scores = self.by_class
        value = {
            **asdict(self.subject),
            "images": self.images,
            "look": self.look,
            "metrics": {name: asdict(interval) for name, interval in self.overall.items()},
            "unit": scores.unit,
            "classes": {
                name: {"support": scores.support[i], **{key: asdict(each[i]) for key, each in scores.columns.items()}}
                for i, name in enumerate(scores.classes)
            },
            "confusion": {
                "classes": self.confusion.names,
                "counts": self.kind.counted,
                "cells": cells_of(self.confusion.counts),
            },
            "worst": [asdict(each) for each in self.worst],
            "looks": [asdict(look) for look in self.looks],
            "intervals": {
                "method": f"percentile bootstrap over {drawn(self.subject)}",
                "level": 0.95,
                "resamples": self.resamples,
            },
            "folder": self.folder,
        }
        if self.calibration is not None:
            value["calibration"] = asdict(self.calibration)
        if self.predict_score is not None:
            value["predict_score"] = self.predict_score
        return dict(plain(value))

    def to_markdown(self) -> str:
        """Return the report as a Markdown page, with the pictures of the same folder."""
        parts = [
            markdown.heading(self),
            _headline(self),
            markdown.again(self),
            _overall(self),
            calibration_text(self.calibration, self.metrics),
            _sizes(self),
            _classes(self),
            _confusions(self),
            _charts(self),
            _worst(self),
            markdown.method(self, self.resamples, self.kind.definitions),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def draw(self, folder: Path, evaluated: Evaluated, photo: OpenPhoto) -> None:
        """Write the charts and the worst images into `folder`."""
        self.kind.draw(self, folder, evaluated, photo)


def _headline(report: ScoreReport) -> str:
    name, scores = report.kind.headline, report.by_class
    interval = report.overall[name]
    present = [count for count in scores.support if count]
    return (
        f"**{title(name)} {score_text(name, interval.value)}** (95 % interval {interval_text(name, interval)}) on "
        f"{report.images} images with {sum(present):,} {scores.unit} of {len(present)} "
        f"class{'' if len(present) == 1 else 'es'}, `{report.subject.model}`."
    )


def _overall(report: ScoreReport) -> str:
    rows = [
        (title(name), score_text(name, each.value), interval_text(name, each))
        for name, each in report.overall.items()
        if not name.endswith(_SIZES)
    ]
    return table(("score", "value", "95 % interval"), rows, right_aligned={1, 2})


def _sizes(report: ScoreReport) -> str:
    """Return the scores by size of the object; empty for tasks without."""
    names = [name.removesuffix("_small") for name in report.overall if name.endswith("_small")]
    if not names:
        return ""
    rows = [(size, *(markdown.with_bounds(report.overall[f"{name}_{size}"]) for name in names)) for size in _SIZES]
    header = ("size", *map(title, names))
    note = "Small objects have an area of at most 32 x 32 pixels, large ones of more than 96 x 96."
    return f"## By size\n\n{table(header, rows, right_aligned=set(range(1, len(header))))}\n\n{note}"


def _classes(report: ScoreReport) -> str:
    scores = report.by_class
    header = ("class", scores.unit, *map(title, scores.columns))
    rows = [
        (cell(name), f"{scores.support[i]:,}", *(markdown.with_bounds(each[i]) for each in scores.columns.values()))
        for i, name in enumerate(scores.classes)
    ]
    return "## Classes\n\n" + table(header, rows, right_aligned=set(range(1, len(header))))


def _confusions(report: ScoreReport) -> str:
    names, counts = report.confusion.names, report.confusion.counts
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [divmod(int(flat), len(names)) for flat in order if wrong.flat[flat]]
    score = DEFAULT_SCORE if report.predict_score is None else report.predict_score
    text = report.kind.confusions.format(score=f"{score:.3g}")
    heading = f"## Confusions\n\n{text}\n\n![Confusion matrix](confusion.png)"
    if not cells:
        return heading
    rows = [(cell(names[i]), cell(names[j]), f"{wrong[i, j]:,}", _fraction(report, i, j)) for i, j in cells]
    header = ("true", "predicted", report.kind.counted, "of the true class")
    return heading + "\n\n" + table(header, rows, right_aligned={2, 3})


def _fraction(report: ScoreReport, i: int, j: int) -> str:
    """Return the part of a class that is confused; a dash for the background, which is no class."""
    counts = report.confusion.counts
    return f"{100 * counts[i, j] / counts[i].sum():.0f} %" if i < len(report.by_class.classes) else "–"


def _charts(report: ScoreReport) -> str:
    charts = [f"![{text}]({name})" for name, text in report.charts if name != "confusion.png"]
    return "\n\n".join(["## Charts", *charts]) if charts else ""


def _worst(report: ScoreReport) -> str:
    if not report.worst:
        return "## Worst images\n\nNo image has a mistake."
    rows = [(cell(each.key), f"{100 * each.score:.1f}", cell(each.note)) for each in report.worst]
    return (
        f"## Worst images\n\nThe images with the lowest {report.kind.image_score}, truth beside prediction. "
        "Check these for wrong annotations first.\n\n"
        f"![Worst images]({WORST})\n\n" + table(("photo", report.kind.image_score, "mistakes"), rows, right_aligned={1})
    )
