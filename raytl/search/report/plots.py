"""The charts of a sweep, one function per chart: the same figure is drawn in the page and as a PNG file.

In every chart blue circles are complete trials, gray squares pruned ones, and orange stands for the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raytl.config.space import Dimension, Space
from raytl.metrics.direction import lower_is_better
from raytl.pages.figures import (
    BLUE,
    INK,
    LINE,
    ORANGE,
    PAPER,
    SLATE,
    SOFT,
    chart_text,
    dots,
    dress,
    legend_above,
    log_axis,
    new_figure,
    tip,
    whole_numbers,
)
from raytl.score_names import is_fraction
from raytl.search.record import TrialRecord, best_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STATES = (("complete", BLUE, "o", "complete"), ("pruned", SLATE, "s", "pruned: stopped early"))
_UNITS = {"transfer.unfreeze": "stages", "model.preprocess.image_px": "px", "train.epochs": "epochs"}
_WIDE_IN = 8.0
"""Figures of at least this width have panels side by side."""
_IDLE = -0.12
"""Place of a dimension that a trial does not use, left of the axis from 0 to 1."""
Trials = Sequence[TrialRecord]


def history(width: float, records: Trials, metric: str) -> Figure:
    """Return each trial's score in order, and the best so far."""
    figure = new_figure(width, _height(width))
    axes = figure.subplots()
    _points(axes, records, lambda record: record.number)
    scored = [record for record in records if record.values]
    best = best_so_far([_value(record) for record in scored], metric)
    axes.step([r.number for r in scored], best, where="post", color=ORANGE, linewidth=1.6, label="best so far")
    dress(axes, "", "trial (number)", axis_title(metric))
    whole_numbers(axes)
    legend_above(figure, axes)
    return figure


def curves(width: float, records: Trials, metric: str) -> Figure:
    """Return the learning curve of each trial."""
    figure = new_figure(width, _height(width))
    axes = figure.subplots()
    best = next(iter(best_first(list(records), metric)), None)
    labels = set()
    for record in sorted(records, key=lambda r: (r is best, r.state == "complete")):
        if record.curve:
            label, style = _line(record, record is best)
            (line,) = axes.plot(*zip(*record.curve, strict=True), label="" if label in labels else label, **style)
            tip(line, label_of(record))
            labels.add(label)
    dress(axes, "", "epoch", axis_title(metric))
    whole_numbers(axes)
    legend_above(figure, axes)
    return figure


def _line(record: TrialRecord, is_best: bool) -> tuple[str, dict[str, Any]]:
    """Return the legend and the style of a trial's line."""
    if is_best:
        return f"best: trial {record.number}", {"color": ORANGE, "linewidth": 2.4, "marker": "D", "markersize": 4}
    if record.state == "complete":
        return "complete", {"color": BLUE, "linewidth": 1.2, "marker": "o", "markersize": 3, "alpha": 0.8}
    return f"{record.state}{': stopped early' if record.state == 'pruned' else ''}", {
        "color": SLATE, "linewidth": 1, "linestyle": "--", "marker": "s", "markersize": 3, "alpha": 0.8,
    }  # fmt: skip


def importance(width: float, importances: Mapping[str, float]) -> Figure:
    """Return the importance of each dimension."""
    ordered = sorted(importances.items(), key=lambda item: item[1])
    figure = new_figure(width, 0.7 + 0.34 * len(ordered))
    axes = figure.subplots()
    pad = max([value for _, value in ordered], default=0.0) * 1.5
    for row, (key, value) in enumerate(ordered):
        (bar,) = axes.barh(row, 100 * value, height=0.62, color=BLUE)
        tip(bar, f"{key}: {value:.0%}")
        axes.text(100 * value + pad, row, f"{100 * value:.0f} %", va="center", fontsize=9, color=INK)
    dress(axes, "", "importance (% of the total)")
    axes.set_yticks(range(len(ordered)), [chart_text(_name(key, width), _max_letters(width)) for key, _ in ordered])
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 118 * max([value for _, value in ordered], default=1.0) or 1.0)
    return figure


def slices(width: float, records: Trials, space: Space, metric: str) -> Figure:
    """Return the score over each dimension, a panel for each."""
    columns = min(3 if width >= _WIDE_IN else 1, len(space.dimensions))
    rows = -(-len(space.dimensions) // columns)
    figure = new_figure(width, 2.5 * rows + 0.3)
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for place, (axes, dimension) in enumerate(zip(grid, space.dimensions, strict=False)):
        _slice(axes, [r for r in records if dimension.key in r.overrides], dimension)
        title = axis_title(metric) if place % columns == 0 else ""
        dress(axes, "", f"{chart_text(dimension.key, 34)}{_unit(dimension)}", title)
    for axes in grid[len(space.dimensions) :]:
        axes.set_visible(False)
    legend_above(figure, grid)
    return figure


def _slice(axes: Axes, records: Trials, dimension: Dimension) -> None:
    values = [record.overrides[dimension.key] for record in records if record.values]
    if dimension.kind == "choice" or not all(map(_is_number, values)):
        names = sorted(set(values), key=lambda value: (not _is_number(value), value if _is_number(value) else 0.0))
        places = {short(name): place for place, name in enumerate(names)}
        _points(axes, records, lambda record: places[short(record.overrides[dimension.key])])
        axes.set_xticks(range(len(names)), [chart_text(short(name), max(3, 24 // len(names))) for name in names])
        axes.set_xlim(-0.5, max(len(names), 1) - 0.5)
        return
    _points(axes, records, lambda record: record.overrides[dimension.key])
    if dimension.kind == "log":
        log_axis(axes, dimension.low, dimension.high)
    else:
        margin = 0.04 * (dimension.high - dimension.low) or 0.5
        axes.set_xlim(dimension.low - margin, dimension.high + margin)
        axes.locator_params(axis="x", nbins=6, integer=dimension.kind == "int")


def dimensions(width: float, records: Trials, space: Space, metric: str) -> Figure:
    """Return all dimensions at once, a row for each: a line joins the values of a trial and ends at its score."""
    scored = best_first([r for r in records if r.state in ("complete", "pruned")], metric)
    top = max(1, len(scored) // 3)
    figure = new_figure(width, 0.62 * (len(space.dimensions) + 1) + 0.6)
    axes = figure.subplots()
    rows = [_Scale(dimension, scored) for dimension in space.dimensions]
    scores = [_value(record) for record in scored]
    for row, scale in enumerate(rows):
        _row(axes, -row, scale.name, scale.ends)
    _row(axes, -len(rows), axis_title(metric), tuple(f"{bound:.4g}" for bound in _bounds(scores)))
    for place, record in reversed(list(enumerate(scored))):
        xs = [*(scale.place(record) for scale in rows), _part(_value(record), *_bounds(scores))]
        first = place in (0, top)
        style: dict[str, Any] = (
            {"color": ORANGE, "linewidth": 1.8} if place < top else {"color": SLATE, "linewidth": 0.8, "alpha": 0.7}
        )
        label = f"best third ({top})" if place < top else f"other trials ({len(scored) - top})"
        (line,) = axes.plot(xs, range(0, -len(xs), -1), marker="o", markersize=4, label=label if first else "", **style)
        tip(line, label_of(record))
    if any(_IDLE in (scale.place(record) for record in scored) for scale in rows):
        axes.text(_IDLE, 0.62, "not used", ha="center", fontsize=8, color=SOFT)
    axes.set(xlim=(_IDLE - 0.06, 1.06), ylim=(-len(rows) - 0.45, 0.95))
    axes.axis("off")
    legend_above(figure, axes)
    return figure


class _Scale:
    """The places of a dimension's values between the ends of its row, from 0 to 1."""

    def __init__(self, dimension: Dimension, records: Trials) -> None:
        values = [record.overrides[dimension.key] for record in records if dimension.key in record.overrides]
        self.key, self.name, self.kind = dimension.key, f"{dimension.key}{_unit(dimension)}", dimension.kind
        self.names = [] if all(map(_is_number, values)) else sorted({short(value) for value in values})
        choices = [choice for choice in dimension.choices if _is_number(choice)]
        numbers = choices if dimension.kind == "choice" else [dimension.low, dimension.high]
        # words that no trial used have no names
        bounds = (0, len(self.names) - 1) if self.names else (min(numbers, default=0), max(numbers, default=0))
        self.low, self.high = map(float, bounds)

    @property
    def ends(self) -> tuple[str, ...]:
        """The texts at both ends."""
        return (self.names[0], self.names[-1]) if self.names else (f"{self.low:.3g}", f"{self.high:.3g}")

    def place(self, record: TrialRecord) -> float:
        """Return the place of the trial's value; `_IDLE` if it has none."""
        if self.key not in record.overrides:
            return _IDLE
        value = record.overrides[self.key]
        if self.names:
            value = self.names.index(short(value))
        return _part(value, self.low, self.high, self.kind == "log")


def _row(axes: Axes, y: float, name: str, ends: Sequence[str]) -> None:
    axes.plot([0, 1], [y, y], color=LINE, linewidth=2, zorder=0)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    for x, text, side in ((0, ends[0], "left"), (1, ends[1], "right")):
        axes.text(x, y - 0.17, chart_text(text, 14), ha=side, va="top", fontsize=8, color=SOFT, bbox=box)
    axes.text(0.5, y - 0.17, chart_text(name, 36), ha="center", va="top", fontsize=9, color=INK, bbox=box)


def _part(value: float, low: float, high: float, is_log: bool = False) -> float:
    """Return where `value` lies between `low` (0) and `high` (1)."""
    if high <= low:
        return 0.5
    return math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 1.0)


def cost(width: float, records: Trials, metric: str) -> Figure:
    """Return the score over the training time and over the number of trainable parameters."""
    wide = width >= _WIDE_IN
    figure = new_figure(width, 3.2 if wide else 5.6)
    panels = list(figure.subplots(1 if wide else 2, 2 if wide else 1, sharey=True, squeeze=False).flat)
    _points(panels[0], records, lambda record: record.seconds)
    _points(panels[1], records, lambda record: max(record.trainable, 1))
    sizes = [max(record.trainable, 1) for record in records if record.values] or [1]
    log_axis(panels[1], min(sizes), max(sizes))
    dress(panels[0], "", "training time of the trial (s)", axis_title(metric))
    dress(panels[1], "", "trainable parameters (count, log scale)", "" if wide else axis_title(metric))
    panels[0].locator_params(axis="x", nbins=6)
    legend_above(figure, panels)
    return figure


def _points(axes: Axes, records: Trials, place: Any) -> None:
    """Draw the score of each trial at `place(record)`, by state."""
    for state, color, marker, label in _STATES:
        drawn = [record for record in records if record.state == state and record.values]
        xs, ys = [place(record) for record in drawn], [_value(record) for record in drawn]
        dots(axes, xs, ys, color, marker, label, [label_of(record) for record in drawn], alpha=0.85)


def axis_title(metric: str) -> str:
    """Return the title of an axis of scores, with the unit."""
    name = metric.rpartition("/")[2]
    unit = (
        "s" if name.endswith("seconds") else "0 to 1" if is_fraction(metric) else "nats" if name == "log_loss" else ""
    )
    return chart_text(metric, 30) + (f" ({unit})" if unit else "")


def best_so_far(values: Sequence[float], metric: str) -> list[float]:
    """Return the best value up to each place."""
    better = min if lower_is_better(metric) else max
    best: list[float] = []
    for value in values:
        best.append(value if not best else better(best[-1], value))
    return best


def label_of(record: TrialRecord) -> str:
    """Return the tooltip of a trial."""
    values = ", ".join(f"{key.split('.')[-1]} {short(value)}" for key, value in record.overrides.items())
    return f"trial {record.number}, {record.state}: {_value(record):.4f}; {values}" if record.values else values


def short(value: object) -> str:
    """Return a value with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _height(width: float) -> float:
    return 3.4 if width < _WIDE_IN else 3.8


def _unit(dimension: Dimension) -> str:
    words = [_UNITS.get(dimension.key, ""), "log scale" if dimension.kind == "log" else ""]
    text = ", ".join(word for word in words if word)
    return f" ({text})" if text else ""


def _name(key: str, width: float) -> str:
    return key if width >= _WIDE_IN else key.split(".")[-1]


def _max_letters(width: float) -> int:
    return 40 if width >= _WIDE_IN else 20


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(record: TrialRecord) -> float:
    assert record.values is not None
    return record.values[0]
