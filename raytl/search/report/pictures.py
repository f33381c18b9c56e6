"""The sweep's charts as PNG files, for places where no page can be opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config.space import Space
from raytl.run.plots import new_figure, save
from raytl.search.record import TrialRecord
from raytl.search.report.charts import BLUE, GREY, ORANGE, best_so_far, short


def write(
    folder: Path, records: Sequence[TrialRecord], space: Space, importances: Mapping[str, float], metric: str
) -> None:
    """Write history.png, curves.png, cost.png, slices.png and importance.png (where there is something to show)."""
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
    _keep(path, figure, [axes])


def _keep(path: Path, figure: Any, axes: Sequence[Any]) -> None:
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25)
    save(figure, path)


def _colours(records: Sequence[TrialRecord]) -> list[str]:
    return [BLUE if record.state == "complete" else GREY for record in records]


def _values(records: Sequence[TrialRecord]) -> list[float]:
    return [record.values[0] for record in records if record.values]


def _history(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    numbers, values = [record.number for record in records], _values(records)
    axes.scatter(numbers, values, c=_colours(records), s=24)
    axes.step(numbers, best_so_far(values, metric), where="post", color=ORANGE, label="best so far")
    axes.set(xlabel="trial", ylabel=metric)
    axes.legend(frameon=False)


def _curves(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    for record, colour in zip(records, _colours(records), strict=True):
        axes.plot([e for e, _ in record.curve], [v for _, v in record.curve], "-o", color=colour, ms=3, lw=1, alpha=0.7)
    axes.set(xlabel="epoch", ylabel=metric)


def _cost(axes: Any, records: Sequence[TrialRecord], metric: str) -> None:
    axes.scatter([record.seconds for record in records], _values(records), c=_colours(records), s=24)
    axes.set(xlabel="seconds of training", ylabel=metric)


def _importance(axes: Any, importances: Mapping[str, float]) -> None:
    ordered = sorted(importances.items(), key=lambda item: item[1])
    axes.barh([key for key, _ in ordered], [share for _, share in ordered], color=BLUE)
    axes.set(xlabel="share of what is explained")


def _slices(path: Path, records: Sequence[TrialRecord], space: Space, metric: str) -> None:
    columns = min(3, len(space.dimensions))
    rows = -(-len(space.dimensions) // columns)
    figure = new_figure(4 * columns, 3 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, dimension in zip(grid.flat, space.dimensions, strict=False):
        some = [record for record in records if dimension.key in record.overrides]
        axes.scatter(
            _places([record.overrides[dimension.key] for record in some]), _values(some), c=_colours(some), s=18
        )
        axes.set_title(dimension.key, fontsize=10)
        if dimension.kind == "log":
            axes.set_xscale("log")
    for axes in list(grid.flat)[len(space.dimensions) :]:
        axes.set_visible(False)
    figure.supylabel(metric, fontsize=10)
    _keep(path, figure, list(grid.flat))


def _places(values: Sequence[Any]) -> Sequence[Any]:
    """Return the values where all are numbers, else their names: matplotlib has no axis of both."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return values if numbers else [short(value) for value in values]
