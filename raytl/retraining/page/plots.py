"""The two charts of retraining: scores of champion and challenger by class, and scores of all versions over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scipy.stats import binomtest

from raytl.pages.figures import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    SLATE,
    chart_text,
    dots,
    dress,
    legend_above,
    new_figure,
)
from raytl.score_names import title
from raytl.tasks.reporting import Slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MODELS = (("champion", SLATE, "o", 0.17), ("challenger", BLUE, "D", -0.17))
_OUTCOMES = (
    ("promote", "promoted", GREEN, "^"), ("keep", "kept as a version only", SLATE, "o"), ("reject", "rejected", ORANGE, "X"),
)  # fmt: skip
_WIDE_IN = 8.0
_LABELS = {True: 30, False: 9}
"""Maximum number of versions whose numbers are written, in a wide and in a narrow chart."""


def intervals(width: float, slices: Sequence[Slice]) -> Figure:
    """Return the score of champion and challenger on each slice, one below the other; of accuracies with 95 % intervals."""
    figure = new_figure(width, 0.8 + 0.36 * len(slices))
    axes = figure.subplots()
    for row, part in enumerate(slices):
        for (model, color, marker, shift), value in zip(_MODELS, (part.before, part.after), strict=True):
            label = model if row == 0 else ""
            _interval(axes, part, value, row - shift, color)
            tips = [f"{part.name}: {model} {100 * value:.1f} %"]
            dots(axes, [100 * value], [row - shift], color, marker, label, tips)
    names = {part.score for part in slices} or {"accuracy"}
    dress(axes, "", f"{title(names.pop()) if len(names) == 1 else 'score'} (%)")
    letters = 44 if width >= _WIDE_IN else 18
    axes.set_yticks(range(len(slices)), [f"{chart_text(part.name, letters)} ({part.images})" for part in slices])
    axes.set(xlim=(-2, 102), ylim=(max(len(slices), 1) - 0.5, -0.5), xticks=(0, 25, 50, 75, 100))
    legend_above(figure, axes)
    return figure


def _interval(axes: Axes, part: Slice, value: float, y: float, color: str) -> None:
    """Draw the 95 % interval (Wilson) of an accuracy; other scores are no fraction of images."""
    if part.score == "accuracy":
        bounds = binomtest(round(value * part.images), part.images).proportion_ci(method="wilson")
        axes.plot([100 * bounds.low, 100 * bounds.high], [y, y], color=color, linewidth=2.5, alpha=0.5)


@dataclass(frozen=True)
class Point:
    """A version: its time, score, outcome and number."""

    when: datetime
    value: float
    outcome: str
    label: str

    @property
    def day(self) -> float:
        """Days since 1970, as matplotlib counts them."""
        return self.when.timestamp() / 86400


def timeline(width: float, points: Sequence[Point], metric: str) -> Figure:
    """Return the scores of all versions over time, oldest first; a line joins those that became champion."""
    from matplotlib import dates as matplotlib_dates

    dates: Any = matplotlib_dates

    figure = new_figure(width, 3.4)
    axes = figure.subplots()
    champions = [point for point in points if point.outcome == "promote"]
    steps = [point.day for point in champions]
    axes.step(steps, [100 * point.value for point in champions], where="post", color=GREEN, linewidth=1.4, zorder=1)
    for outcome, label, color, marker in _OUTCOMES:
        drawn = [p for p in points if p.outcome == outcome or (outcome == "keep" and p.outcome not in _NAMED_OUTCOMES)]
        tips = [f"version {p.label}: {100 * p.value:.1f} %, {p.outcome}, {p.when:%Y-%m-%d %H:%M}" for p in drawn]
        places = [point.day for point in drawn]
        dots(axes, places, [100 * point.value for point in drawn], color, marker, label, tips, markersize=8)
    dress(axes, "", "published (UTC)", f"{title(metric)} (%)")
    _number(axes, points, _LABELS[width >= _WIDE_IN])
    locator = dates.AutoDateLocator(minticks=2, maxticks=8 if width >= _WIDE_IN else 4)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=True))
    axes.margins(x=0.06, y=0.2)
    legend_above(figure, axes)
    return figure


_NAMED_OUTCOMES = frozenset(outcome for outcome, *_ in _OUTCOMES)


def _number(axes: Axes, points: Sequence[Point], limit: int) -> None:
    """Write the numbers of at most `limit` versions above them: evenly spread ones, the last among them."""
    every = -(-len(points) // limit)
    for point in points[::-1][::every]:
        axes.annotate(
            chart_text(point.label, 8), (point.day, 100 * point.value), (0, 7), textcoords="offset points",
            ha="center", fontsize=9, color=INK, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
        )  # fmt: skip
