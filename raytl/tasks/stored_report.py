"""Read a report back from its file, so that it can be shown again without reading the data; the same for all tasks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from raytl.errors import RunError
from raytl.metrics.calibration import TEMPERATURES
from raytl.metrics.confusion import matrix_of
from raytl.metrics.intervals import Interval
from raytl.run.ledger import REPORT, LedgerEntry
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score, at_least, at_most, within
from raytl.tasks.reliability import CHART, Calibration
from raytl.tasks.reporting import ClassScores, Subject
from raytl.tasks.score_report import ReportKind, ScoreReport, WorstImage
from raytl.tasks.stored_scores import Bounds, Method, Mistake
from raytl.tasks.task import Confusion

_Columns = dict[Name, Count | Bounds]


@dataclass(frozen=True, slots=True)
class _Confusion:
    """The confusion matrix: its nonzero cells, or all rows as raytl 0.1.0 wrote them."""

    classes: Annotated[tuple[Name, ...], at_most(25_001, "classes")]
    cells: dict[Literal["true", "predicted", "images"], list[Count]] | None = None
    rows_are_true: list[list[Count]] | None = None
    counts: Any = None


@dataclass(frozen=True, slots=True)
class _Calibration:
    """The temperature, and the scores without it."""

    temperature: Annotated[float, within(*TEMPERATURES)]
    uncalibrated: Annotated[dict[Name, Score], at_most(100, "scores")]


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields of report.json; a task has `mistakes` or `worst`."""

    run: str
    model: Name
    split: Name
    weights: Name
    data: Name
    skipped: Count
    look: Annotated[int, within(1, 10**6)] | None
    metrics: Annotated[dict[Name, Bounds], at_most(1000, "metrics")]
    classes: Annotated[dict[Name, _Columns], at_least(1, "class"), at_most(25_000, "classes")]
    confusion: _Confusion
    looks: tuple[LedgerEntry, ...]
    intervals: Method
    images: Count
    unit: Name = "images"
    mistakes: tuple[Mistake, ...] = ()
    worst: tuple[WorstImage, ...] = ()
    calibration: _Calibration | None = None
    folder: Any = None
    fine_tuned_fraction: Annotated[float, within(0, 1)] | None = None
    predict_score: Annotated[float, within(0, 1)] | None = None
    groups: Count = 0


REPORT_FORMAT = Format[_Report](
    _Report,
    "a report that `raytl evaluate` wrote",
    "Restore the file, or move its folder away to compute the same report again.",
    max_bytes=64 << 20,
)


@dataclass(frozen=True)
class StoredReport:
    """The parts of a stored report, as values."""

    subject: Subject
    images: int
    overall: dict[str, Interval]
    by_class: ClassScores
    confusion: Confusion
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    worst: tuple[WorstImage, ...]
    look: int | None
    looks: tuple[LedgerEntry, ...]
    resamples: int
    folder: str
    has_reliability: bool
    predict_score: float | None


def stored(folder: Path, headline: str) -> StoredReport:
    """Return the report in `folder`, which has the score `headline`.

    Raises:
        RunError: the report cannot be read, or is that of another task.
    """
    path = folder / REPORT
    report = REPORT_FORMAT.load(path)
    if headline not in report.metrics:
        raise RunError(f"{path}: metrics: lacks {headline!r}; expected the scores of this task. {REPORT_FORMAT.advice}")
    calibration = report.calibration
    return StoredReport(
        subject=Subject(
            report.run,
            report.model,
            report.split,
            report.weights,
            report.data,
            report.skipped,
            report.fine_tuned_fraction,
            report.groups,
        ),
        images=report.images,
        overall={name: _interval(each) for name, each in report.metrics.items()},
        by_class=_class_scores(report, path),
        confusion=_confusion(report, path),
        calibration=None if calibration is None else Calibration(calibration.temperature, calibration.uncalibrated),
        mistakes=report.mistakes,
        worst=report.worst,
        look=report.look,
        looks=report.looks,
        resamples=report.intervals.resamples,
        folder=str(folder),
        has_reliability=(folder / CHART).is_file(),
        predict_score=report.predict_score,
    )


def stored_scores(kind: ReportKind, folder: Path) -> ScoreReport:
    """Return the report of a `kind` in `folder`.

    Raises:
        RunError: the report cannot be read, or is that of another task.
    """
    report = stored(folder, kind.headline)
    return ScoreReport(kind=kind, **{each.name: getattr(report, each.name) for each in fields(ScoreReport)[1:]})


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
    stored, names = report.confusion, tuple(report.classes)
    if stored.classes[: len(names)] != names or len(stored.classes) > len(names) + 1:  # one more: the background
        raise RunError(f"{path}: confusion: found other classes; expected those of `classes`. {REPORT_FORMAT.advice}")
    cells = stored.rows_are_true if stored.cells is None else stored.cells
    try:
        counts = matrix_of(cells, len(stored.classes))
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: confusion: {error}; expected a count for each pair. {REPORT_FORMAT.advice}") from error
    return Confusion(stored.classes, counts)


def _interval(bounds: Count | Bounds) -> Interval:
    if not isinstance(bounds, Bounds):
        raise TypeError(f"{bounds!r} for a score")
    return Interval(bounds.value, bounds.low, bounds.high)


def _count(value: Count | Bounds) -> int:
    if isinstance(value, Bounds):
        raise TypeError("a score for a count")
    return value
