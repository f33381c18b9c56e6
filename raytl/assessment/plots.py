"""The charts of `raytl report`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raytl.metrics.draws import Groups
from raytl.metrics.finding_calibration import BandedReliability, finding_reliability
from raytl.metrics.scores import ECE_BINS, confidence_bin, facts, softmax
from raytl.pages.figures import BLUE, SOFT, dots, dress, legend_above, new_figure

Chart = Callable[[float], Any]
_SIMULATIONS = 400


def reliability_chart(targets: ArrayLike, logits: ArrayLike, seed: int, groups: Groups | None = None) -> Chart:
    """Return the chart of how often decisions are right by confidence, with the band of perfectly calibrated models; with `groups
    (n,)`, of those that err by groups."""
    decisions = facts(targets, softmax(logits))
    sure, hits = decisions.confidence, decisions.targets == decisions.predicted
    if groups is not None:
        return banded_chart(finding_reliability(groups, sure, hits, seed), "images")
    members = np.eye(ECE_BINS)[confidence_bin(sure)]
    members = members[:, members.any(axis=0)]
    count = members.sum(axis=0)
    middle, accuracy = sure @ members / count, hits @ members / count
    draw = np.random.default_rng(seed)
    simulated = np.stack([(draw.random(len(sure)) < sure) @ members / count for _ in range(_SIMULATIONS)])
    low, high = np.quantile(simulated, (0.025, 0.975), axis=0)
    return banded_chart(BandedReliability(middle, accuracy, count, low, high), "images")


def banded_chart(result: BandedReliability, units: str) -> Chart:
    """Return the chart of a reliability with its band; `units` is what is counted."""

    def chart(width: float) -> Any:
        figure = new_figure(width, 3.6)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":", label="as right as confident")
        _band(axes, result.confidence, result.low, result.high)
        axes.plot(result.confidence, result.correct, color=BLUE, linewidth=1.4)
        tips = [
            f"{n:.0f} {units}: confidence {x:.3f}, right {y:.3f}"
            for n, x, y in zip(result.count, result.confidence, result.correct, strict=True)
        ]
        dots(axes, result.confidence.tolist(), result.correct.tolist(), BLUE, label="the model", tips=tips)
        dress(axes, x="confidence (0 to 1)", y="fraction right (0 to 1)")
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03))
        legend_above(figure, axes)
        return figure

    return chart


def _band(axes: Any, x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Draw the range in which perfectly calibrated models lie, a bar for each bin."""
    axes.vlines(x, low, high, color=SOFT, alpha=0.35, linewidth=7, label="95 % of perfectly calibrated models")
