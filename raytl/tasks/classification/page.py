"""A report as HTML for notebooks: scores with intervals, the classes, the confusion matrix and the worst mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raytl.pages import embedded, render
from raytl.tasks.reliability import CHART, calibration_text
from raytl.tasks.score_text import interval_text, score_text, title

if TYPE_CHECKING:
    from raytl.tasks.classification.report import Report

_MAX_CLASSES = 50


def as_html(report: Report) -> str:
    """Return the report as one HTML element that needs nothing else: pictures are embedded, names escaped."""
    estimates, folder = report.estimates, Path(report.folder)
    f1 = np.array([each.value for each in estimates.f1])
    order = sorted(np.argsort(f1, kind="stable")[:_MAX_CLASSES].tolist())
    return render(
        "raytl.tasks.classification",
        "report.html.j2",
        report=report,
        is_again=report.is_again,
        scores=[(title(n), score_text(n, each.value), interval_text(n, each)) for n, each in estimates.overall.items()],
        classes=[
            (
                report.classes[i],
                estimates.support[i],
                *(score_text("f1", part[i].value) for part in (estimates.precision, estimates.recall, estimates.f1)),
            )
            for i in order
        ],
        hidden=len(report.classes) - len(order),
        calibration=calibration_text(report.calibration, report.metrics),
        confusion=embedded(folder / "confusion.png"),
        reliability=embedded(folder / CHART),
        worst=embedded(folder / "worst.png"),
    )
