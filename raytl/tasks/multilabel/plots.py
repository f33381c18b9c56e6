"""The charts of labels: precision and recall of each, and average precision by label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from raytl.metrics.intervals import Interval
from raytl.run import plots as charts
from raytl.sanitize import one_line
from raytl.tasks import plots
from raytl.tasks.drawing import font_of
from raytl.tasks.plots import Curve, class_bars


def precision_recall(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curve of each label; a dot marks its threshold."""
    plots.precision_recall([("Labels; a dot marks the threshold", curves)], path)


def average_precision(
    names: Sequence[str], intervals: Sequence[Interval], path: Path, mean: Interval | None = None
) -> None:
    """Draw the average precision of each label with its interval, and the mean."""
    class_bars(names, intervals, path, "average precision", mean)


def confusion(matrix: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw counts `(n, n)` of labels, true by predicted, with absent as the last of `names`."""
    charts.confusion(matrix, names, path, "labels")


def label_lines(
    classes: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    predicted: NDArray[np.bool_],
    size: tuple[int, int],
) -> Image.Image:
    """Return a picture of `size` (width, height) with a line for each label that is present or predicted: wrong ones first.

    All arrays are `(labels,)`; `targets` are 1, 0 and -1 (unknown).
    """
    picture = Image.new("RGB", size, (246, 247, 248))
    draw = ImageDraw.Draw(picture)
    wrong = (targets >= 0) & ((targets == 1) != predicted)
    order = [i for i in np.lexsort((-probabilities, ~wrong)).tolist() if predicted[i] or targets[i] == 1]
    for row, i in enumerate(order[: max(1, (size[1] - 12) // 22)]):
        word = ("missed" if targets[i] == 1 else "added") if wrong[i] else "unknown" if targets[i] < 0 else "right"
        color = (200, 40, 40) if wrong[i] else (110, 120, 130) if targets[i] < 0 else (30, 120, 60)
        text = f"{word}  {one_line(classes[i], max(4, size[0] // 9 - 14))}  {100 * probabilities[i]:.0f} %"
        draw.text((10, 8 + 22 * row), text, font=font_of(14), fill=color)
    return picture
