"""Read the report of a classifier back from its file."""

from __future__ import annotations

from pathlib import Path

from raytl.errors import RunError
from raytl.metrics.intervals import Estimates
from raytl.run.ledger import REPORT
from raytl.tasks import stored_report
from raytl.tasks.classification.report import Report
from raytl.tasks.stored_report import REPORT_FORMAT, StoredReport


def stored(folder: Path) -> Report:
    """Return the report in `folder`.

    Raises:
        RunError: the report cannot be read, or is that of another task.
    """
    report = stored_report.stored(folder, "accuracy")
    path = folder / REPORT
    if report.confusion.names != report.by_class.classes:
        raise RunError(f"{path}: confusion.classes: expected the same classes as `classes`. {REPORT_FORMAT.advice}")
    return Report(
        subject=report.subject,
        classes=report.by_class.classes,
        estimates=_estimates(report, path),
        matrix=report.confusion.counts,
        mistakes=report.mistakes,
        look=report.look,
        looks=report.looks,
        resamples=report.resamples,
        folder=report.folder,
        calibration=report.calibration,
        has_reliability=report.has_reliability,
    )


def _estimates(report: StoredReport, path: Path) -> Estimates:
    columns = report.by_class.columns
    try:
        precision, recall, f1 = (columns[name] for name in ("precision", "recall", "f1"))
    except KeyError as error:
        raise RunError(
            f"{path}: classes: lack {error}; expected the scores of a classifier. {REPORT_FORMAT.advice}"
        ) from error
    return Estimates(report.overall, precision, recall, f1, report.by_class.support)
