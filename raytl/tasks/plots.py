"""The charts that several tasks share: curves of precision and recall, and scores of classes with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.intervals import Interval
from raytl.pages.figures import BLUE, COLORS, INK, ORANGE, SOFT, chart_text, dress, legend_above, new_figure
from raytl.run.plots import save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED_CURVES = len(COLORS)
"""Maximum number of curves with a color and a name; the others are thin and gray."""
_STYLES = ("-", "--", "-.", ":")
_MAX_BARS = 40


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision at each recall of one class, `recall (n,)` and `precision (n,)`, by falling threshold.

    `average` is its average precision, NaN if the class has no truth. `chosen` is the (recall, precision) at the threshold in
    use, None if there is none.
    """

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average: float
    chosen: tuple[float, float] | None = None


def curve_of(name: str, scores: NDArray[np.floating], hits: NDArray[np.bool_], positives: int) -> Curve:
    """Return the curve of a class from the `scores (n,)` of its calls, whether each is right, and the number of truths.

    Equal scores are one threshold. With no truths the curve is empty. The average is over COCO's 101 levels of recall.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = (
        np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) and positives else np.array([], int)
    )
    true = np.cumsum(hits[order])[ends]
    recall, precision = true / max(positives, 1), true / (ends + 1.0)
    return Curve(name, recall, precision, _average(recall, precision) if positives else float("nan"))


def _average(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the mean over recalls 0, 0.01, ..., 1 of the highest precision at that recall or above."""
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(highest[np.searchsorted(recall, np.linspace(0.0, 1.0, 101))].mean())


def precision_recall(panels: Sequence[tuple[str, Sequence[Curve]]], path: Path) -> None:
    """Draw panels of curves, one below the other, each under its title; the classes with the lowest averages have names."""
    count = max(len(panels), 1)
    figure = new_figure(6.4, 3.8 * count)
    for axes, (title, curves) in zip(figure.subplots(count, 1, squeeze=False)[:, 0], panels, strict=False):
        _curves(axes, curves)
        dress(axes, title, "recall (0 to 1)", "precision (0 to 1)")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(
                title="class, AP (%)", title_fontsize=8, frameon=False, fontsize=8, loc="center left",
                bbox_to_anchor=(1.0, 0.5), borderaxespad=0.2, handlelength=2.6,
            )  # fmt: skip
    save(figure, path)


def _curves(axes: Axes, curves: Sequence[Curve]) -> None:
    drawn = [each for each in curves if len(each.recall)]
    if not drawn:
        axes.text(0.5, 0.5, "No objects to find.", ha="center", va="center", fontsize=12, color=SOFT)
    lowest = sorted(range(len(drawn)), key=lambda i: (np.isnan(drawn[i].average), drawn[i].average))[:_NAMED_CURVES]
    for i, each in enumerate(drawn):
        if i not in lowest:
            axes.plot(each.recall, each.precision, color=SOFT, linewidth=0.7, alpha=0.5)
    for place, i in enumerate(sorted(lowest)):
        each, color = drawn[i], COLORS[place]
        name = f"{chart_text(each.name, 22)}  {100 * each.average:.1f}"
        recall, precision = np.append(0.0, each.recall), np.append(each.precision[0], each.precision)
        axes.plot(recall, precision, color=color, linewidth=1.6, linestyle=_STYLES[place % 4], label=name)
        if each.chosen is not None:
            axes.plot(*each.chosen, color=color, marker="o", markersize=6, markeredgecolor="white")
    if len(drawn) > len(lowest):
        axes.plot([], [], color=SOFT, linewidth=0.7, label=f"and {len(drawn) - len(lowest)} more")


def class_bars(
    names: Sequence[str], intervals: Sequence[Interval], path: Path, label: str, mean: Interval | None = None
) -> None:
    """Draw a bar with its interval for each class, the highest first, and a line at the mean.

    Of many classes only the lowest are drawn. Classes without a score have no bar.
    """
    order = sorted(range(len(names)), key=lambda i: (np.isnan(intervals[i].value), -np.nan_to_num(intervals[i].value)))
    drawn = (order if len(order) <= _MAX_BARS else [i for i in order if not np.isnan(intervals[i].value)])[-_MAX_BARS:]
    figure = new_figure(6.4, 1.6 + 0.3 * max(len(drawn), 2))
    axes = figure.subplots()
    for row, i in enumerate(reversed(drawn)):
        _bar(axes, row, intervals[i])
    axes.set_yticks(range(len(drawn)), [chart_text(names[i], 26) for i in reversed(drawn)], fontsize=9)
    if mean is not None and not np.isnan(mean.value):
        axes.axvspan(100 * mean.low, 100 * mean.high, color=ORANGE, alpha=0.2, linewidth=0, zorder=0)
        axes.axvline(
            100 * mean.value,
            color=ORANGE,
            linewidth=1.4,
            zorder=1,
            label=f"mean {100 * mean.value:.1f} %, with its interval",
        )
    hidden = f", the lowest {len(drawn)} of {len(order)}" if len(order) > len(drawn) else ""
    dress(axes, f"{label[:1].upper()}{label[1:]} by class{hidden}", f"{label} (%)")
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 116), ylim=(-0.6, max(len(drawn), 1) - 0.4), xticks=range(0, 101, 20))
    axes.plot([], [], color=INK, marker="|", linewidth=1.2, label="95 % interval")
    legend_above(figure, axes)
    save(figure, path)


def _bar(axes: Axes, row: int, each: Interval) -> None:
    if np.isnan(each.value):
        axes.text(1, row, "no truth", va="center", fontsize=8, color=SOFT)
        return
    value, low, high = 100 * each.value, 100 * each.low, 100 * each.high
    axes.barh(row, value, height=0.62, color=BLUE, alpha=0.55)
    if not np.isnan(low + high):
        axes.plot([low, high], [row, row], color=INK, linewidth=1.2)
        axes.plot([low, high], [row, row], color=INK, linestyle="", marker="|", markersize=6)
    axes.text(103, row, f"{value:.1f}", va="center", fontsize=8, color=INK)
