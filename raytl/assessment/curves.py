"""The curves of thresholds: accuracy by coverage and precision by recall, with exact intervals where images are independent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raytl.metrics.binomial import clopper_pearson
from raytl.metrics.certified import Curve
from raytl.pages.figures import BLUE, ORANGE, Draw, chart_text, dress, legend_above, new_figure

_POINTS = 120
"""Points of a drawn or stored curve."""


def points(curve: Curve, has_intervals: bool = True) -> list[dict[str, float]]:
    """Return the curve for report.json: threshold, coverage, and accuracy with its interval, NaN if images are not independent."""
    thin = thinned(curve)
    total = curve.taken[-1]
    low, high = clopper_pearson(thin.hits, thin.taken) if has_intervals else np.full((2, len(thin.taken)), np.nan)
    columns = (thin.threshold, thin.taken / total, thin.hits / thin.taken, low, high)
    names = ("threshold", "coverage", "accuracy", "low", "high")
    return [dict(zip(names, (round(float(v), 6) for v in row), strict=True)) for row in zip(*columns, strict=True)]


def thinned(curve: Curve) -> Curve:
    """Return at most 120 points of the curve, with its ends."""
    places = np.unique(np.linspace(0, len(curve.taken) - 1, _POINTS).round().astype(int))
    return Curve(curve.threshold[places], curve.taken[places], curve.hits[places])


def coverage_chart(val: Curve, test: Curve, has_interval: bool = True) -> Draw:
    """Return the chart of the accuracy of the answered images by their fraction, of both splits; with the interval of test."""

    def chart(width: float) -> Any:
        figure = new_figure(width, 3.4)
        axes = figure.subplots()
        for each, color, line, name in ((val, ORANGE, "--", "validation"), (test, BLUE, "-", "test")):
            thin = thinned(each)
            x, y = thin.taken / each.taken[-1], thin.hits / thin.taken
            if has_interval and name == "test":
                axes.fill_between(x, *clopper_pearson(thin.hits, thin.taken), color=color, alpha=0.2, linewidth=0)
            axes.plot(x, y, color=color, linestyle=line, linewidth=1.6, label=name)
        dress(axes, x="fraction of the images that is answered", y="fraction of the answers that is right")
        axes.set_xlim(0, 1)
        axes.set_ylim(max(0.0, min(each.hits[-1] / each.taken[-1] for each in (val, test)) - 0.12), 1.005)
        legend_above(figure, axes)
        return figure

    return chart


def recall_chart(curves: Mapping[str, tuple[Curve, int]], units: str = "images", has_intervals: bool = True) -> Draw:
    """Return a panel for each class, with its curve and its number of `units`; intervals are those of independent units."""

    def chart(width: float) -> Any:
        columns = 1 if width < 6 else 3
        rows = -(-len(curves) // columns)
        figure = new_figure(width, 2.4 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(curves) :]:
            axes.axis("off")
        for axes, (name, (each, count)) in zip(panels, curves.items(), strict=False):
            thin = thinned(each)
            x, y = thin.hits / max(1, count), thin.hits / thin.taken
            if has_intervals:
                axes.fill_between(x, *clopper_pearson(thin.hits, thin.taken), color=BLUE, alpha=0.2, linewidth=0)
            axes.plot(x, y, color=BLUE, linewidth=1.6)
            dress(axes, f"{chart_text(name, 24)} ({count:,} {units})", "recall", "precision")
            axes.set(xlim=(0, 1.02), ylim=(0, 1.03))
        return figure

    return chart
