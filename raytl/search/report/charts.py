"""The sweep as interactive charts (plotly), one function per chart."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from raytl.config.space import Space
from raytl.metrics.direction import lower_is_better
from raytl.search.record import TrialRecord

BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#9aa0a6"
_LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
    "height": 380,
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "legend": {"orientation": "h", "y": 1.08},
}


def history(records: Sequence[TrialRecord], metric: str) -> go.Figure:
    """Return each trial's value in order, and the best so far."""
    figure = go.Figure(layout=_LAYOUT)
    for state, symbol, color in (("complete", "circle", BLUE), ("pruned", "circle-open", GRAY)):
        scored = [r for r in records if r.state == state and r.values]
        figure.add_scatter(
            x=[r.number for r in scored], y=[_value(r) for r in scored], mode="markers", name=state,
            marker={"symbol": symbol, "color": color, "size": 8}, text=[label(r) for r in scored], hoverinfo="text",
        )  # fmt: skip
    scored = [r for r in records if r.values]
    best = best_so_far([_value(r) for r in scored], metric)
    figure.add_scatter(
        x=[r.number for r in scored], y=best, mode="lines", name="best so far", line={"color": ORANGE, "shape": "hv"}
    )
    return figure.update_xaxes(title="trial").update_yaxes(title=metric)


def importance(importances: Mapping[str, float]) -> go.Figure:
    """Return the importance of each dimension."""
    ordered = sorted(importances.items(), key=lambda item: item[1])
    bars = go.Bar(x=[v for _, v in ordered], y=[k for k, _ in ordered], orientation="h", marker_color=BLUE)
    figure = go.Figure(bars, layout={**_LAYOUT, "height": 120 + 36 * len(ordered)})
    return figure.update_xaxes(title="importance", tickformat=".0%").update_yaxes(automargin=True)


def slices(records: Sequence[TrialRecord], space: Space, metric: str) -> go.Figure:
    """Return the value over each dimension."""
    columns = min(3, len(space.dimensions))
    rows = -(-len(space.dimensions) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=[d.key for d in space.dimensions], shared_yaxes=True, vertical_spacing=0.16
    )
    for place, dimension in enumerate(space.dimensions):
        scored = [r for r in records if r.values and dimension.key in r.overrides]
        row, column = place // columns + 1, place % columns + 1
        figure.add_scatter(
            x=[r.overrides[dimension.key] for r in scored], y=[_value(r) for r in scored], mode="markers", showlegend=False,
            marker={"color": [BLUE if r.state == "complete" else GRAY for r in scored], "size": 7, "opacity": 0.75},
            text=[label(r) for r in scored], hoverinfo="text", row=row, col=column,
        )  # fmt: skip
        if dimension.kind == "log":
            figure.update_xaxes(type="log", dtick=1, row=row, col=column)
    return figure.update_layout(
        **{**_LAYOUT, "height": 60 + 260 * rows, "margin": {"l": 56, "r": 16, "t": 40, "b": 40}}
    )


def parallel(records: Sequence[TrialRecord], space: Space, metric: str) -> go.Figure:
    """Return parallel coordinates: one line per trial."""
    scored = [r for r in records if r.values]
    keys = [d.key for d in space.dimensions if all(isinstance(r.overrides.get(d.key, 0), int | float) for r in scored)]
    axes = [{"label": key.split(".")[-1], "values": [r.overrides.get(key, 0) for r in scored]} for key in keys]
    axes.append({"label": metric.removeprefix("val/"), "values": [_value(r) for r in scored]})
    lines = go.Parcoords(
        dimensions=axes, line={"color": [_value(r) for r in scored], "colorscale": "Viridis", "showscale": True}
    )
    return go.Figure(lines, layout={**_LAYOUT, "margin": {"l": 64, "r": 32, "t": 56, "b": 24}})


def curves(records: Sequence[TrialRecord], metric: str) -> go.Figure:
    """Return the learning curve of each trial."""
    figure = go.Figure(layout={**_LAYOUT, "showlegend": False})
    for record in sorted(records, key=lambda r: r.state == "complete"):
        if not record.curve:
            continue
        done = record.state == "complete"
        figure.add_scatter(
            x=[e for e, _ in record.curve], y=[v for _, v in record.curve], mode="lines+markers",
            line={"color": BLUE if done else GRAY, "width": 1.5 if done else 1}, marker={"size": 4},
            opacity=0.8 if done else 0.5, text=label(record), hoverinfo="text+x+y",
        )  # fmt: skip
    return figure.update_xaxes(title="epoch").update_yaxes(title=metric)


def cost(records: Sequence[TrialRecord], metric: str) -> go.Figure:
    """Return the value over the training time and the number of trainable parameters."""
    scored = [r for r in records if r.values]
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04)
    for column, name in ((1, "seconds"), (2, "trainable")):
        figure.add_scatter(
            x=[getattr(r, name) for r in scored], y=[_value(r) for r in scored], mode="markers", showlegend=False,
            marker={"color": [BLUE if r.state == "complete" else GRAY for r in scored], "size": 8},
            text=[label(r) for r in scored], hoverinfo="text", row=1, col=column,
        )  # fmt: skip
    figure.update_xaxes(title="training time (s)", row=1, col=1)
    figure.update_xaxes(title="trainable parameters", type="log", row=1, col=2)
    return figure.update_layout(**_LAYOUT).update_yaxes(title=metric, col=1)


def best_so_far(values: Sequence[float], metric: str) -> list[float]:
    """Return the best value up to each place."""
    better = min if lower_is_better(metric) else max
    best: list[float] = []
    for value in values:
        best.append(value if not best else better(best[-1], value))
    return best


def label(record: TrialRecord) -> str:
    """Return the hover text of a trial."""
    values = ", ".join(f"{key.split('.')[-1]} {html.escape(short(value))}" for key, value in record.overrides.items())
    return f"trial {record.number}, {record.state}: {_value(record):.4f}<br>{values}" if record.values else values


def short(value: object) -> str:
    """Return a value with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _value(record: TrialRecord) -> float:
    assert record.values is not None
    return record.values[0]
