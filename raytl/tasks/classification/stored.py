"""Read a report back from its file, so that it can be shown again without reading the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from raytl.errors import RunError
from raytl.metrics.calibration import TEMPERATURES
from raytl.metrics.confusion import matrix_of
from raytl.metrics.intervals import Estimates, Interval
from raytl.run.ledger import REPORT, LedgerEntry
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score, at_least, at_most, within
from raytl.tasks.classification.report import Calibration, Mistake, Report
from raytl.tasks.reporting import Subject
from raytl.tasks.stored_scores import Bounds, Method


@dataclass(frozen=True, slots=True)
class _Class:
    """The scores of one class."""

    support: Count
    precision: Bounds
    recall: Bounds
    f1: Bounds


@dataclass(frozen=True, slots=True)
class _Confusion:
    """The confusion matrix: its nonzero cells, or all rows as raytl 0.1.0 wrote them."""

    classes: tuple[Name, ...]
    cells: dict[Literal["true", "predicted", "images"], list[Count]] | None = None
    rows_are_true: list[list[Count]] | None = None


@dataclass(frozen=True, slots=True)
class _Calibration:
    """The temperature, and the scores without it."""

    temperature: Annotated[float, within(*TEMPERATURES)]
    uncalibrated: Annotated[dict[Name, Score], at_most(100, "scores")]


@dataclass(frozen=True, slots=True)
class _Report:
    """The fields of report.json."""

    run: str
    model: Name
    split: Name
    weights: Name
    data: Name
    skipped: Count
    look: Annotated[int, within(1, 10**6)] | None
    metrics: Annotated[dict[Name, Bounds], at_most(1000, "metrics")]
    classes: Annotated[dict[Name, _Class], at_least(1, "class"), at_most(25_000, "classes")]
    confusion: _Confusion
    mistakes: tuple[Mistake, ...]
    looks: tuple[LedgerEntry, ...]
    intervals: Method
    calibration: _Calibration | None = None
    images: Any = None
    folder: Any = None
    fine_tuned_fraction: Annotated[float, within(0, 1)] | None = None


REPORT_FORMAT = Format[_Report](
    _Report,
    "a report that `raytl evaluate` wrote",
    "Restore the file, or move its folder away to compute the same report again.",
    max_bytes=64 << 20,
)


def stored(folder: Path) -> Report:
    """Return the report in `folder`.

    Raises:
        RunError: the report cannot be read.
    """
    path = folder / REPORT
    report = REPORT_FORMAT.load(path)
    return Report(
        subject=Subject(
            report.run,
            report.model,
            report.split,
            report.weights,
            report.data,
            report.skipped,
            report.fine_tuned_fraction,
        ),
        classes=tuple(report.classes),
        estimates=_estimates(report.metrics, list(report.classes.values())),
        matrix=_matrix(report, path),
        mistakes=report.mistakes,
        look=report.look,
        looks=report.looks,
        resamples=report.intervals.resamples,
        folder=str(folder),
        calibration=_calibration(report.calibration),
    )


def _calibration(record: _Calibration | None) -> Calibration | None:
    return None if record is None else Calibration(record.temperature, record.uncalibrated)


def _matrix(report: _Report, path: Path) -> Any:
    confusion = report.confusion
    if list(confusion.classes) != list(report.classes):
        raise RunError(f"{path}: confusion.classes: expected the same classes as `classes`. {REPORT_FORMAT.advice}")
    try:
        return matrix_of(
            confusion.rows_are_true if confusion.cells is None else confusion.cells, len(confusion.classes)
        )
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: confusion: {error}; expected a count for each pair. {REPORT_FORMAT.advice}") from error


def _estimates(metrics: dict[str, Bounds], classes: Sequence[_Class]) -> Estimates:
    return Estimates(
        overall={name: _interval(each) for name, each in metrics.items()},
        precision=tuple(_interval(each.precision) for each in classes),
        recall=tuple(_interval(each.recall) for each in classes),
        f1=tuple(_interval(each.f1) for each in classes),
        support=tuple(each.support for each in classes),
    )


def _interval(bounds: Bounds) -> Interval:
    return Interval(bounds.value, bounds.low, bounds.high)
