"""The geometry of two charts, which templates draw as SVG: accuracies with intervals, and scores over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from raytl.tasks.reporting import Slice

_WIDTH, _LEFT, _RIGHT = 760, 190, 60
_ROW_PX = 34
_GRAY, _BLUE = "#9aa0a6", "#0072b2"
_COLORS = {"promote": "#1a7f37", "reject": "#c62828", "keep": _GRAY}
_HEIGHT, _TOP, _BOTTOM = 260, 16, 220


@dataclass(frozen=True)
class Bar:
    """A score at `x`; of an accuracy, with its 95 % interval (Wilson) from `low` to `high`."""

    x: float
    low: float
    high: float
    y: float
    color: str


@dataclass(frozen=True)
class Row:
    """A slice: its label and the bars of champion and challenger."""

    label: str
    y: float
    bars: tuple[Bar, Bar]


@dataclass(frozen=True)
class Intervals:
    """The score of champion (gray) and challenger (blue) on each slice; `grid` has the vertical lines (x, label)."""

    rows: tuple[Row, ...]
    height: int
    grid: tuple[tuple[float, str], ...]
    width: int = _WIDTH
    left: int = _LEFT


def intervals(slices: Sequence[Slice]) -> Intervals:
    """Return the chart of the slices, one below the other."""
    rows = []
    for place, part in enumerate(slices):
        y = _ROW_PX * place + 16
        bars = _bar(part, part.before, y, _GRAY), _bar(part, part.after, y + 10, _BLUE)
        rows.append(Row(f"{part.name} ({part.images})", y, bars))
    grid = tuple((_x(percent / 100), f"{percent} %") for percent in (0, 25, 50, 75, 100))
    return Intervals(tuple(rows), _ROW_PX * len(slices) + 30, grid)


def _bar(part: Slice, value: float, y: float, color: str) -> Bar:
    if part.score != "accuracy":  # no fraction of images
        return Bar(_x(value), _x(value), _x(value), y, color)
    from scipy.stats import binomtest

    interval = binomtest(round(value * part.images), part.images).proportion_ci(method="wilson")
    return Bar(_x(value), _x(interval.low), _x(interval.high), y, color)


def _x(value: float) -> float:
    return round(_LEFT + value * (_WIDTH - _LEFT - _RIGHT), 1)


@dataclass(frozen=True)
class Point:
    """A version: its time, score, outcome and label."""

    when: datetime
    value: float
    outcome: str
    label: str


@dataclass(frozen=True)
class Mark:
    """A version on the chart."""

    x: float
    y: float
    color: str
    label: str
    title: str


@dataclass(frozen=True)
class Timeline:
    """The scores of all versions over time; `path` joins those that became champion, `grid` has horizontal lines (y, label)."""

    marks: tuple[Mark, ...]
    path: str
    grid: tuple[tuple[float, str], ...]
    first_day: str
    last_day: str
    path_color: str = _BLUE
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = 60
    right: int = _WIDTH - 30
    bottom: int = _BOTTOM


def timeline(points: Sequence[Point]) -> Timeline:
    """Return the chart of at least one version, oldest first."""
    first, last = points[0].when, points[-1].when
    span_s = max((last - first).total_seconds(), 1.0)
    low, high = min(point.value for point in points), max(point.value for point in points)
    margin = max((high - low) * 0.15, 0.005)
    low, high = low - margin, high + margin

    def mark(point: Point) -> Mark:
        x = 60 + (_WIDTH - 90) * ((point.when - first).total_seconds() / span_s)
        y = _BOTTOM - (_BOTTOM - _TOP) * (point.value - low) / (high - low)
        title = f"{point.label}: {100 * point.value:.1f} %, {point.outcome}"
        return Mark(round(x, 1), round(y, 1), _COLORS.get(point.outcome, _GRAY), point.label, title)

    marks = tuple(mark(point) for point in points)
    champions = [mark for mark, point in zip(marks, points, strict=True) if point.outcome == "promote"]
    return Timeline(
        marks=marks,
        path=_steps(champions) if len(champions) > 1 else "",
        grid=((_TOP, f"{100 * high:.1f} %"), (_BOTTOM, f"{100 * low:.1f} %")),
        first_day=first.strftime("%Y-%m-%d"),
        last_day=last.strftime("%Y-%m-%d"),
    )


def _steps(marks: Sequence[Mark]) -> str:
    """Return an SVG path that steps from mark to mark."""
    return f"M {marks[0].x} {marks[0].y}" + "".join(f" H {mark.x} V {mark.y}" for mark in marks[1:])
