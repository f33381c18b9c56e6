"""The charts of a run as PNG files: learning curves and the confusion matrix.

Their look is that of `raytl.pages.figures`. Panels stand one below the other, so that a phone shows them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.direction import lower_is_better
from raytl.pages.figures import (
    COLORS,
    GREEN,
    INK,
    MARKERS,
    SOFT,
    chart_text,
    dress,
    new_figure,
    png,
    whole_numbers,
)
from raytl.run.atomic import write_bytes
from raytl.score_names import is_fraction, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_SCORES = 6
"""Maximum number of validation scores in a chart."""
_WIDTH_IN = 6.4
_PANEL_IN = 3.2
_NUMBERED_CELLS = 25
"""Maximum number of classes for which the cells of a confusion matrix show counts."""
_NAMED_CLASSES = 60
"""Maximum number of classes for which the axes of a confusion matrix show names."""


def curves(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw losses, validation scores and learning rates by epoch, from flat records.

    Keys read: `epoch`, `train/loss`, `val/...` (losses and errors beside the training loss, the first other ones as scores),
    `lr/<group>`, `stage` (a line marks each change) and `best` (the last true one is marked). Missing keys are skipped.
    """
    groups = sorted({key for record in records for key in record if key.startswith("lr/")}, key=_group_order(records))
    count = 3 if groups else 2
    figure = new_figure(_WIDTH_IN, _PANEL_IN * count)
    panels = figure.subplots(count, 1, squeeze=False)[:, 0]
    names = {key: None for record in records for key in record if key.startswith("val/") and key != "val/seconds"}
    losses = {"train/loss": "train loss"} | {key: f"val {_words(key)}" for key in names if lower_is_better(key)}
    scores = [key for key in names if not lower_is_better(key)][:_MAX_SCORES]
    _panel(panels[0], records, losses, "Losses and errors", "loss (no unit)")
    unit = " (0 to 1)" if all(map(is_fraction, scores)) else ""
    _panel(panels[1], records, {key: _words(key) for key in scores}, "Validation scores", f"score{unit}")
    if groups:
        _rates(panels[2], records, groups)
    for panel in panels:
        _mark_stages(panel, records)
    _mark_best(panels[:2], records)
    for panel in panels:
        _legend(panel)
    save(figure, path)


def _words(key: str) -> str:
    return title(key.removeprefix("val/"))


def confusion(
    matrix: NDArray[np.int64],
    classes: Sequence[str],
    path: Path,
    unit: str = "images",
    cells: NDArray[np.int64] | None = None,
) -> None:
    """Draw the confusion matrix `(classes, classes)` of `unit` (`images`), shaded by the fraction of each true class.

    The cells show the counts, or where there is a count, the numbers of `cells`.
    """
    side = min(14.0, max(4.6, 3.2 + 0.42 * len(classes)))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    rows = matrix.sum(axis=1, keepdims=True)
    fractions = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    picture = axes.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("fraction of true class (0 to 1)", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    axes.set_title(f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} {unit} correct", color=INK, fontsize=11)
    _name_classes(axes, classes)
    if len(classes) <= _NUMBERED_CELLS:
        _number_cells(axes, matrix if cells is None else cells, fractions)
    save(figure, path)


def font_file() -> Path:
    """Return the font of the charts, for pictures that Pillow draws."""
    from matplotlib import get_data_path

    return Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG file, atomically."""
    write_bytes(path, png(figure))


def _panel(axes: Axes, records: Sequence[Mapping[str, Any]], labels: Mapping[str, str], title: str, unit: str) -> None:
    for place, (key, label) in enumerate(labels.items()):
        points = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
        if points:
            style: dict[str, Any] = {
                "color": COLORS[place % len(COLORS)],
                "marker": MARKERS[place % len(MARKERS)],
                "label": label,
            }
            axes.plot(*zip(*points, strict=True), markersize=4, linewidth=1.6, **style)
    _dress(axes, title, unit)


def _rates(axes: Axes, records: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> None:
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.0, 0.7, len(groups)))
    for shade, key in zip(shades, groups, strict=True):
        points = [(record["epoch"], record[key]) for record in records if record.get(key)]
        if points:
            axes.plot(*zip(*points, strict=True), color=shade, label=key[3:], marker="o", markersize=3, linewidth=1.4)
    axes.set_yscale("log")
    _dress(axes, "Learning rates of the stages", "learning rate (log scale)")


def _dress(axes: Axes, title: str, unit: str) -> None:
    dress(axes, title, "epoch", unit)
    whole_numbers(axes)


def _legend(axes: Axes) -> None:
    """Explain the lines to the right of the panel, where they cover no data."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _mark_stages(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    """Draw a dotted line before each epoch that starts another stage of training."""
    label = "next stage"
    for before, after in pairwise(records):
        if before.get("stage") != after.get("stage"):
            middle = (before["epoch"] + after["epoch"]) / 2
            axes.axvline(middle, color=SOFT, linestyle=":", linewidth=1, label=label)
            label = "_"


def _mark_best(panels: Iterable[Axes], records: Sequence[Mapping[str, Any]]) -> None:
    best = [record["epoch"] for record in records if record.get("best")]
    for axes in panels if best else ():
        axes.axvline(best[-1], color=GREEN, linewidth=5, alpha=0.25, label=f"best epoch ({best[-1]})")


def _group_order(records: Sequence[Mapping[str, Any]]) -> Any:
    """Return the sort key for parameter groups by learning rate, the highest (the head) first."""
    top = {
        key: max(r.get(key) or 0.0 for r in records) for record in records for key in record if key.startswith("lr/")
    }
    return lambda key: (-top[key], key)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) > _NAMED_CLASSES:
        return
    names = [chart_text(name, 22) for name in classes]
    size = 9 if len(classes) <= 30 else 7
    upright = all(len(name) <= 2 for name in names)
    axes.set_xticks(range(len(names)), names, rotation=0 if upright else 90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)


def _number_cells(axes: Axes, matrix: NDArray[np.int64], fractions: NDArray[np.float64]) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        ink = "white" if fractions[row, column] > 0.55 else INK
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=ink, fontsize=8)
