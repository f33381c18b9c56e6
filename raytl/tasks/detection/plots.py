"""The charts of detections: precision and recall by class, scores of right and wrong detections, confusions with background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raytl.pages.figures import BLUE, ORANGE, PAPER, SOFT, dress, legend_above, new_figure
from raytl.run import plots
from raytl.run.plots import save
from raytl.tasks import plots as charts
from raytl.tasks.plots import Curve

BACKGROUND = "background"
_BINS = 25


def precision_recall(curves: Mapping[float, Sequence[Curve]], path: Path) -> None:
    """Draw the curves of each class, a panel for each threshold of the IoU."""
    charts.precision_recall([(f"IoU at least {iou:g}", each) for iou, each in sorted(curves.items())], path)


def score_histogram(scores: NDArray[np.floating], hits: NDArray[np.bool_], path: Path, iou: float = 0.5) -> None:
    """Draw how many detections there are at each score, right and wrong: `scores (n,)` and `hits (n,)`.

    Where the bars of wrong detections end is a good `predict.score`.
    """
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    hit_counts, wrong_counts = (np.histogram(scores[chosen], edges)[0] for chosen in (hits, ~hits))
    bars = {"width": edges[1] - edges[0], "align": "edge", "edgecolor": PAPER, "linewidth": 0.5}
    axes.bar(edges[:-1], hit_counts, color=BLUE, label=f"right (IoU at least {iou:g}): {int(hits.sum()):,}", **bars)
    wrong = f"wrong: {int((~hits).sum()):,}"
    axes.bar(edges[:-1], wrong_counts, bottom=hit_counts, color=ORANGE, hatch="///", label=wrong, **bars)
    if not len(scores):
        axes.text(0.5, 0.5, "No detections.", ha="center", va="center", transform=axes.transAxes, color=SOFT)
    width = f"detections (count per {edges[1]:g} of score)"
    dress(axes, f"{len(scores):,} detections by score", "score (0 to 1)", width)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(0, 1)
    legend_above(figure, axes)
    save(figure, path)


def confusion(matrix: NDArray[np.int64], names: Sequence[str], path: Path, unit: str = "objects") -> None:
    """Draw counts `(n, n)` of objects, true by predicted, with `background` (missed, or not there) as the last of `names`."""
    plots.confusion(matrix, names, path, unit)
