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

    from raytl.export.compress.outcome import Compression, Outcome

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
    for each in measured:
        _name(axes, each)
    if result.target_ms is not None:
        axes.axvline(result.target_ms, color=SOFT, linestyle="--", linewidth=1, label=f"target {result.target_ms:g} ms")
    metric = title(measured[0].verdict.metric) if measured and measured[0].verdict else "score"
    dress(
        axes,
        chart_text(f"{result.run}: candidates", 60),
        "median of a call with one photo (ms)",
        f"{metric} on validation (%)",
    )
    axes.margins(0.18)
    legend_above(figure, axes)
    return png(figure)


def _points(outcomes: list[Outcome]) -> tuple[list[float], list[float]]:
    xs = [each.speed.median_ms for each in outcomes if each.speed is not None]
    return xs, [100 * each.verdict.score for each in outcomes if each.verdict is not None]


def _name(axes: Axes, outcome: Outcome) -> None:
    xs, ys = _points([outcome])
    text = f"{outcome.name}\n{outcome.bytes / 1e6:.1f} MB"
    axes.annotate(text, (xs[0], ys[0]), textcoords="offset points", xytext=(7, 3), fontsize=8, color=INK)
