"""Two charts as SVG: shares with their intervals, before and after; and a score over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scipy.stats import binomtest

from raytl.retrain.gate import Slice
from raytl.retrain.page.markup import Markup, Node, tag

_WIDTH, _LEFT, _RIGHT = 760, 190, 60
BEFORE, AFTER = "#9aa0a6", "#0072b2"
_COLOURS = {"promote": "#1a7f37", "reject": "#c62828", "keep": "#9aa0a6"}


def shares(slices: Sequence[Slice]) -> Markup:
    """Each slice's share of right answers before (grey) and after (blue), with 95 % intervals (Wilson)."""
    height = 34 * len(slices) + 30
    parts: list[Node] = [_grid(at, f"{at} %", height) for at in (0, 25, 50, 75, 100)]
    for place, part in enumerate(slices):
        y = 34 * place + 16
        parts.append(tag("text", f"{part.name} ({part.images})", x=_LEFT - 10, y=y + 8, text_anchor="end"))
        for share, shift, colour in ((part.before, 0, BEFORE), (part.after, 10, AFTER)):
            found = binomtest(round(share * part.images), part.images).proportion_ci(method="wilson")
            parts.append(_bar(found.low, found.high, y + shift, colour))
            parts.append(tag("circle", cx=_x(share), cy=y + shift, r=4, fill=colour))
    return tag("svg", parts, viewBox=f"0 0 {_WIDTH} {height}", width=_WIDTH, role="img")


@dataclass(frozen=True)
class Point:
    """A version: when, its score, what became of it, and a label."""

    when: datetime
    value: float
    outcome: str
    label: str


def line(points: Sequence[Point]) -> Markup:
    """The scores of all versions over time; those that became champion are joined."""
    height, top, bottom = 260, 16, 220
    first, last = points[0].when, points[-1].when
    span = max((last - first).total_seconds(), 1.0)
    low, high = min(p.value for p in points), max(p.value for p in points)
    pad = max((high - low) * 0.15, 0.005)
    low, high = low - pad, high + pad

    def place(point: Point) -> tuple[float, float]:
        x = 60 + (_WIDTH - 90) * ((point.when - first).total_seconds() / span)
        return round(x, 1), round(bottom - (bottom - top) * (point.value - low) / (high - low), 1)

    champions = [place(point) for point in points if point.outcome == "promote"]
    parts = [
        tag("line", x1=60, x2=_WIDTH - 30, y1=y, y2=y, stroke="currentColor", stroke_opacity=0.15)
        for y in (top, bottom)
    ]
    for at, value in ((top, high), (bottom, low)):
        parts.append(tag("text", f"{100 * value:.1f} %", x=52, y=at + 4, text_anchor="end", class_="soft"))
    for left, point, anchor in ((60, points[0], "start"), (_WIDTH - 30, points[-1], "end")):
        parts.append(
            tag("text", point.when.strftime("%Y-%m-%d"), x=left, y=bottom + 24, text_anchor=anchor, class_="soft")
        )
    if len(champions) > 1:
        steps = "".join(f" H {x} V {y}" for x, y in champions[1:])
        parts.append(
            tag("path", d=f"M {champions[0][0]} {champions[0][1]}{steps}", fill="none", stroke=AFTER, stroke_width=2)
        )
    for point in points:
        x, y = place(point)
        title = tag("title", f"{point.label}: {100 * point.value:.1f} %, {point.outcome}")
        parts.append(tag("circle", title, cx=x, cy=y, r=5, fill=_COLOURS.get(point.outcome, BEFORE)))
        parts.append(tag("text", point.label, x=x, y=y - 10, text_anchor="middle", class_="soft"))
    return tag("svg", parts, viewBox=f"0 0 {_WIDTH} {height}", width=_WIDTH, role="img")


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _bar(low: float, high: float, y: float, colour: str) -> Markup:
    return tag("line", x1=_x(low), x2=_x(high), y1=y, y2=y, stroke=colour, stroke_width=3, stroke_opacity=0.5)


def _grid(percent: int, label: str, height: int) -> tuple[Markup, Markup]:
    x = _x(percent / 100)
    return (
        tag("line", x1=x, x2=x, y1=6, y2=height - 22, stroke="currentColor", stroke_opacity=0.15),
        tag("text", label, x=x, y=height - 6, text_anchor="middle", class_="soft"),
    )
