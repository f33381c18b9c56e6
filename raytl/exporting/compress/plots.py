"""The frontier of a search as a PNG: score over latency, and how large each candidate is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytl.pages.figures import (
    BLUE,
    INK,
    ORANGE,
    RED,
    SLATE,
    SOFT,
    chart_text,
    dots,
    dress,
    legend_above,
    new_figure,
    png,
)  # fmt: skip
from raytl.score_names import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from raytl.exporting.compress.outcome import Compression, Outcome

_WIDTH_IN, _HEIGHT_IN = 6.4, 4.2


def draw_frontier(result: Compression) -> bytes:
    """Return a chart of the measured candidates: those on the frontier are joined, and the best is marked."""
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    axes = figure.subplots()
    measured = [each for each in result.outcomes if each.speed is not None and each.verdict is not None]
    groups = (
        ("on the frontier", BLUE, "o", [each for each in measured if each.name in result.frontier]),
        ("kept", SLATE, "s", [e for e in measured if e.status == "kept" and e.name not in result.frontier]),
        ("rejected", RED, "x", [each for each in measured if each.status == "rejected"]),
    )
    for label, color, marker, group in groups:
        dots(axes, *_points(group), color, marker, label)
    ordered = sorted(groups[0][3], key=lambda each: _points([each])[0][0])
    axes.plot(*_points(ordered), color=BLUE, linewidth=1)
    dots(
        axes,
        *_points([e for e in measured if e.name == result.best]),
        ORANGE,
        "o",
        "best",
        markersize=12,
        fillstyle="none",
    )
    _names(axes, measured)
    if result.target_ms is not None:
        axes.axvline(result.target_ms, color=SOFT, linestyle="--", linewidth=1, label=f"target {result.target_ms:g} ms")
    metric = title(measured[0].verdict.metric) if measured and measured[0].verdict else "score"
    dress(
        axes,
        chart_text(f"{result.run}: candidates", 60),
        "median of a call with one photo (ms)",
        f"{metric} on validation (%)",
    )
    axes.margins(0.15, 0.25)
    legend_above(figure, axes)
    return png(figure)


def _points(outcomes: list[Outcome]) -> tuple[list[float], list[float]]:
    xs = [each.speed.median_ms for each in outcomes if each.speed is not None]
    return xs, [100 * each.verdict.score for each in outcomes if each.verdict is not None]


def _names(axes: Axes, measured: list[Outcome]) -> None:
    """Write the name and the size of each candidate beside its point, above and below in turns so that neighbors do not touch."""
    ordered = sorted(measured, key=lambda each: _points([each])[0][0])
    middle = sum(axes.get_xlim()) / 2
    for place, each in enumerate(ordered):
        xs, ys = _points([each])
        is_left = xs[0] <= middle
        axes.annotate(
            f"{each.name}\n{each.bytes / 1e6:.1f} MB",
            (xs[0], ys[0]),
            textcoords="offset points",
            xytext=(5 if is_left else -5, 9 if place % 2 else -9),
            ha="left" if is_left else "right",
            va="bottom" if place % 2 else "top",
            fontsize=8,
            color=INK,
        )
