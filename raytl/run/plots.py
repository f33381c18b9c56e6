"""The charts of a run as PNG files: learning curves and the confusion matrix.

Figures use their own Agg canvas: no window, no global pyplot state, safe in any thread or worker. Files are written
atomically.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raytl.metrics.direction import lower_is_better
from raytl.run.atomic import write_bytes
from raytl.sanitize import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#26323c", "#8894a0"
COLORS = ("#1f6fb2", "#d1622b", "#3b8f4a", "#8a5bb5", "#b8962e", "#c2427d", "#5b6b78")
_MAX_SCORES = 6
"""Maximum number of validation scores in a chart."""
_DPI = 110
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
    figure = new_figure(4.6 * (3 if groups else 2), 3.8)
    panels = figure.subplots(1, 3 if groups else 2, squeeze=False)[0]
    names = {key: None for record in records for key in record if key.startswith("val/") and key != "val/seconds"}
    losses = {"train/loss": "train loss"} | {key: f"val {_words(key)}" for key in names if lower_is_better(key)}
    scores = [key for key in names if not lower_is_better(key)][:_MAX_SCORES]
    _panel(panels[0], records, losses, "loss")
    _panel(panels[1], records, {key: _words(key) for key in scores}, "validation scores")
    if groups:
        _rates(panels[2], records, groups)
    for panel in panels:
        _mark_stages(panel, records)
    _mark_best(panels[:2], records)
    save(figure, path)


def _words(key: str) -> str:
    return key.removeprefix("val/").replace("_", " ")


def confusion(
    matrix: NDArray[np.int64],
    classes: Sequence[str],
    path: Path,
    unit: str = "images",
    cells: NDArray[np.int64] | None = None,
) -> None:
    """Draw the confusion matrix `(classes, classes)` of `unit`, shaded by the fraction of each true class.

    The cells show the counts, or where there is a count, the numbers of `cells`.
    """
    side = min(14.0, 3.2 + 0.42 * len(classes))
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    rows = matrix.sum(axis=1, keepdims=True)
    fractions = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    picture = axes.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03, label="fraction of the true class")
    axes.set(xlabel="predicted", ylabel="true", title=f"{int(matrix.sum())} {unit}, {int(np.trace(matrix))} correct")
    _name_classes(axes, classes)
    if len(classes) <= _NUMBERED_CELLS:
        _number_cells(axes, matrix if cells is None else cells, fractions)
    save(figure, path)


def font_file() -> Path:
    """Return the font of the charts, for pictures that Pillow draws."""
    from matplotlib import get_data_path

    return Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, title: str) -> None:
    """Give the axes the title and the grid of all charts."""
    axes.set_title(title, color=INK, loc="left", fontsize=11)
    axes.grid(color="#e3e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG file."""
    canvas: Any = figure.canvas
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # the font may lack the script of a class name; boxes are drawn instead
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.print_png(buffer)  # the same pixels as savefig, which lays out and draws a figure twice
    write_bytes(path, buffer.getvalue())


def _panel(axes: Axes, records: Sequence[Mapping[str, Any]], labels: Mapping[str, str], title: str) -> None:
    for color, (key, label) in zip(COLORS, labels.items(), strict=False):
        points = [(record["epoch"], record[key]) for record in records if record.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, label=label, marker="o", markersize=3.5, linewidth=1.6)
    _dress(axes, title)


def _rates(axes: Axes, records: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> None:
    from matplotlib import colormaps

    shades = colormaps["viridis"](np.linspace(0.0, 0.88, len(groups)))
    for shade, key in zip(shades, groups, strict=True):
        points = [(record["epoch"], record[key]) for record in records if record.get(key)]
        if points:
            axes.plot(*zip(*points, strict=True), color=shade, label=key[3:], marker="o", markersize=3, linewidth=1.4)
    axes.set_yscale("log")
    _dress(axes, "learning rates")


def _dress(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    dress(axes, title)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    count = len(axes.get_legend_handles_labels()[0])
    if count:
        axes.legend(frameon=False, fontsize=8 if count <= 6 else 6, ncols=1 if count <= 10 else 2)


def _mark_stages(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    """Draw a dotted line before each epoch that starts another stage of training."""
    for before, after in pairwise(records):
        if before.get("stage") != after.get("stage"):
            middle = (before["epoch"] + after["epoch"]) / 2
            axes.axvline(middle, color=FAINT, linestyle=":", linewidth=1)


def _mark_best(panels: Iterable[Axes], records: Sequence[Mapping[str, Any]]) -> None:
    best = [record["epoch"] for record in records if record.get("best")]
    for axes in panels if best else ():
        axes.axvline(best[-1], color="#3b8f4a", linewidth=5, alpha=0.18)
        axes.text(best[-1], 0.015, "best", transform=axes.get_xaxis_transform(), ha="center", va="bottom", **small())


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


def chart_text(name: str, length: int, tail: bool = False) -> str:
    """Return the name in one line of at most `length` characters, for matplotlib; see `one_line`."""
    return one_line(name, length, tail).replace("$", r"\$")  # not a formula: a class name may be "$5 or $10"


def small() -> dict[str, Any]:
    """Return the style of a note below a picture."""
    return {"fontsize": 7.5, "color": FAINT}
