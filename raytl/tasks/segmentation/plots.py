"""The charts of class maps: IoU by class, and the confusion of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.intervals import Interval
from raytl.run import plots
from raytl.tasks.plots import class_bars


def iou_bars(names: Sequence[str], intervals: Sequence[Interval], path: Path, mean: Interval | None = None) -> None:
    """Draw the IoU of each class with its interval, and the mean."""
    class_bars(names, intervals, path, "IoU", mean)


def confusion(matrix: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw the pixels `(classes, classes)`, true by predicted, in percent of each true class."""
    rows = matrix.sum(axis=1, keepdims=True)
    percent = np.divide(100.0 * matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    plots.confusion(matrix, names, path, "pixels", cells=percent.round().astype(np.int64))
