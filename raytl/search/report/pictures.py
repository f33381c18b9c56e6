"""The sweep's charts as PNG files, for machines without a browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config.space import Space
from raytl.run.plots import new_figure, save
from raytl.search.record import TrialRecord
from raytl.search.report.charts import BLUE, GRAY, ORANGE, best_so_far, short


def write(
    folder: Path, records: Sequence[TrialRecord], space: Space, importances: Mapping[str, float], metric: str
) -> None:
    """Write history.png, curves.png, cost.png, slices.png and, if there are importances, importance.png."""
    scored = [record for record in records if record.values]
    _save(folder / "history.png", lambda axes: _history(axes, scored, metric))
    _save(folder / "curves.png", lambda axes: _curves(axes, records, metric))
    _save(folder / "cost.png", lambda axes: _cost(axes, scored, metric))
    _slices(folder / "slices.png", scored, space, metric)
    if importances:
        _save(folder / "importance.png", lambda axes: _importance(axes, importances))


def _save(path: Path, draw: Callable[[Any], None]) -> None:
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    draw(axes)
    _finish(path, figure, [axes])


def _finish(path: Path, figure: Any, axes: Sequence[Any]) -> None:
    for part in axes:
        part.spines[["top", "right"]].set_visible(False)
        part.grid(alpha=0.25)
    save(figure, path)


def _colors(records: Sequence[TrialRecord]) -> list[str]:
    return [BLUE if record.state == "complete" else GRAY for record in records]


def _values(records: Sequence[TrialRecord]) -> list[float]:
    return [record.values[0] for record in records if record.values]


def _history(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    numbers, values = [record.number for record in records], _values(records)
    axes.scatter(numbers, values, c=_colors(records), s=24)
    axes.step(numbers, best_so_far(values, metric), where="post", color=ORANGE, label="best so far")
    axes.set(xlabel="trial", ylabel=metric)
    axes.legend(frameon=False)


def _curves(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    for record, color in zip(records, _colors(records), strict=True):
        axes.plot([e for e, _ in record.curve], [v for _, v in record.curve], "-o", color=color, ms=3, lw=1, alpha=0.7)
    axes.set(xlabel="epoch", ylabel=metric)


def _cost(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    axes.scatter([record.seconds for record in records], _values(records), c=_colors(records), s=24)
    axes.set(xlabel="training time (s)", ylabel=metric)


def _importance(axes: Any, importances: Mapping[str, float]) -> None:
    ordered = sorted(importances.items(), key=lambda item: item[1])
    axes.barh([key for key, _ in ordered], [value for _, value in ordered], color=BLUE)
    axes.set(xlabel="importance")


def _slices(path: Path, records: Sequence[TrialRecord], space: Space, metric: str) -> None:
    columns = min(3, len(space.dimensions))
    rows = -(-len(space.dimensions) // columns)
    figure = new_figure(4 * columns, 3 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, dimension in zip(grid.flat, space.dimensions, strict=False):
        with_key = [record for record in records if dimension.key in record.overrides]
        axes.scatter(
            _places([record.overrides[dimension.key] for record in with_key]),
            _values(with_key),
            c=_colors(with_key),
            s=18,
        )
        axes.set_title(dimension.key, fontsize=10)
        if dimension.kind == "log":
            axes.set_xscale("log")
    for axes in list(grid.flat)[len(space.dimensions) :]:
        axes.set_visible(False)
    figure.supylabel(metric, fontsize=10)
    _finish(path, figure, list(grid.flat))


def _places(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values if all are numbers, else their names: matplotlib cannot mix both on one axis."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return values if numbers else [short(value) for value in values]
