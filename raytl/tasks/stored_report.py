"""Read a `ScoreReport` back from its file, so that it can be shown again without reading the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from raytl.errors import RunError
from raytl.metrics.confusion import matrix_of
from raytl.metrics.intervals import Interval
from raytl.run.ledger import REPORT, LedgerEntry
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, at_least, at_most, within
from raytl.tasks.reporting import ClassScores, Subject
from raytl.tasks.score_report import ReportKind, ScoreReport, WorstImage
from raytl.tasks.stored_scores import Bounds, Method
from raytl.tasks.task import Confusion


@dataclass(frozen=True, slots=True)
class _Confusion:
    """The nonzero cells of the confusion matrix."""

    classes: tuple[Name, ...]
    cells: dict[Literal["true", "predicted", "images"], list[Count]]
    counts: Any = None


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields of report.json."""

    run: str
    model: Name
    split: Name
    weights: Name
    data: Name
    skipped: Count
    images: Count
    look: Annotated[int, within(1, 10**6)] | None
    metrics: Annotated[dict[Name, Bounds], at_most(1000, "metrics")]
    unit: Name
    classes: Annotated[dict[Name, dict[Name, Count | Bounds]], at_least(1, "class"), at_most(25_000, "classes")]
    confusion: _Confusion
    worst: tuple[WorstImage, ...]
    looks: tuple[LedgerEntry, ...]
    intervals: Method
    folder: Any = None
    fine_tuned_fraction: Annotated[float, within(0, 1)] | None = None


REPORT_FORMAT = Format[_Report](
    _Report,
    "a report that `raytl evaluate` wrote",
    "Restore the file, or move its folder away to compute the same report again.",
    max_bytes=64 << 20,
)


def stored(kind: ReportKind, folder: Path) -> ScoreReport:
    """Return the report in `folder`.

    Raises:
        RunError: the report cannot be read.
    """
    path = folder / REPORT
    report = REPORT_FORMAT.load(path)
    if kind.headline not in report.metrics:
        raise RunError(
            f"{path}: metrics: lacks {kind.headline!r}; expected the scores of this task. {REPORT_FORMAT.advice}"
        )
    return ScoreReport(
        kind=kind,
        subject=Subject(
            report.run,
            report.model,
            report.split,
            report.weights,
            report.data,
            report.skipped,
            report.fine_tuned_fraction,
        ),
        images=report.images,
        overall={name: _interval(each) for name, each in report.metrics.items()},
        by_class=_class_scores(report, path),
        confusion=_confusion(report, path),
        worst=report.worst,
        look=report.look,
        looks=report.looks,
        resamples=report.intervals.resamples,
        folder=str(folder),
    )


def _class_scores(report: _Report, path: Path) -> ClassScores:
    rows = list(report.classes.values())
    names = [name for name in rows[0] if name != "support"]
    try:
        columns = {name: tuple(_interval(row[name]) for row in rows) for name in names}
        support = tuple(_count(row["support"]) for row in rows)
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path}: classes: found {error}; expected the same scores for each. {REPORT_FORMAT.advice}"
        ) from error
    return ClassScores(tuple(report.classes), support, report.unit, columns)


def _confusion(report: _Report, path: Path) -> Confusion:
    try:
        counts = matrix_of(report.confusion.cells, len(report.confusion.classes))
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: confusion: {error}; expected a count for each pair. {REPORT_FORMAT.advice}") from error
    return Confusion(report.confusion.classes, counts)


def _interval(bounds: Count | Bounds) -> Interval:
    if not isinstance(bounds, Bounds):
        raise TypeError(f"{bounds!r} for a score")
    return Interval(bounds.value, bounds.low, bounds.high)


def _count(value: Count | Bounds) -> int:
    if isinstance(value, Bounds):
        raise TypeError("a score for a count")
    return value
