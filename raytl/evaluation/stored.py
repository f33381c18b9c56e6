"""An evaluation read back from its report, so that it can be shown again without a look at the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.errors import RunError
from raytl.evaluation.report import Evaluation, Mistake, Subject
from raytl.metrics.confusion import matrix_of
from raytl.metrics.intervals import Estimates, Interval
from raytl.run.ledger import REPORT, LedgerEntry

_SUBJECT = ("run", "model", "split", "weights", "data", "skipped")


def stored(folder: Path) -> Evaluation:
    """Return the evaluation whose report is in `folder`.

    Raises:
        RunError: the report cannot be read.
    """
    path = folder / REPORT
    try:
        return _evaluation(json.loads(path.read_bytes()), str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path}: cannot be read as a report ({type(error).__name__}: {error}); expected what `raytl evaluate` wrote. "
            "Restore the file, or move its folder away to compute the same report again."
        ) from error


def _evaluation(report: Mapping[str, Any], folder: str) -> Evaluation:
    classes = report["classes"]
    if report["confusion"]["classes"] != list(classes):
        raise ValueError("the confusion matrix is of other classes")
    counts = report["confusion"].get("cells", report["confusion"].get("rows_are_true"))
    return Evaluation(
        subject=Subject(**{name: report[name] for name in _SUBJECT}),
        classes=tuple(classes),
        estimates=_estimates(report["metrics"], list(classes.values())),
        matrix=matrix_of(counts, len(classes)),
        mistakes=tuple(Mistake(**each) for each in report["mistakes"]),
        look=report["look"],
        looks=tuple(LedgerEntry(**each) for each in report["looks"]),
        resamples=int(report["intervals"]["resamples"]),
        folder=folder,
    )


def _estimates(metrics: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> Estimates:
    return Estimates(
        overall={name: _interval(each) for name, each in metrics.items()},
        precision=tuple(_interval(each["precision"]) for each in classes),
        recall=tuple(_interval(each["recall"]) for each in classes),
        f1=tuple(_interval(each["f1"]) for each in classes),
        support=tuple(int(each["support"]) for each in classes),
    )


def _interval(bounds: Mapping[str, float | None]) -> Interval:
    """Return the interval; JSON has null where a score is undefined."""
    value, low, high = (bounds[name] for name in ("value", "low", "high"))
    return Interval(*(float("nan") if bound is None else float(bound) for bound in (value, low, high)))
