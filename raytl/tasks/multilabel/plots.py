"""The charts of labels: precision and recall of each, and average precision by label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raytl.metrics.intervals import Interval
from raytl.tasks import plots
from raytl.tasks.plots import Curve, class_bars


def precision_recall(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curve of each label; a dot marks its threshold."""
    plots.precision_recall([("Labels; a dot marks the threshold", curves)], path)


def average_precision(
    names: Sequence[str], intervals: Sequence[Interval], path: Path, mean: Interval | None = None
) -> None:
    """Draw the average precision of each label with its interval, and the mean."""
    class_bars(names, intervals, path, "average precision", mean)
