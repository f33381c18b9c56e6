"""The page of a registry: its versions over time, its ticks, and all alias moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from raytl.pages import render
from raytl.pages.figures import inline
from raytl.registry.record import Move, Record
from raytl.retraining.page.plots import Point, timeline
from raytl.retraining.ticks import Tick
from raytl.score_names import is_fraction, title

_MAX_ROWS = 60
_CAPTION = (
    "Each version, by its number, on the evaluation set of its day. Green triangles: promoted, joined by a line. Gray circles: "
    "kept as a version only. Orange crosses: rejected."
)


def registry_page(
    name: str, records: Sequence[Record], aliases: Mapping[str, int], history: Sequence[Move], ticks: Sequence[Tick]
) -> str:
    """Return the page as HTML; it links to the ticks' pages in `pages/`."""
    outcomes = {tick.version: tick.outcome for tick in ticks if tick.version is not None}
    metric = _metric(ticks, records)
    points = [
        Point(
            datetime.fromisoformat(record.about.created), value, outcomes.get(record.number, "keep"), str(record.number)
        )
        for record in records
        if is_fraction(metric) and (value := record.about.metrics.get(metric)) is not None
    ]
    heading = f"{title(metric)} over time"
    chart = inline("versions", heading, _CAPTION, lambda width: timeline(width, points, metric)) if points else ""
    return render(
        "raytl.retraining.page",
        "registry.html.j2",
        name=name,
        records=records,
        aliases=aliases,
        outcomes=outcomes,
        metric=metric,
        chart=chart,
        ticks=ticks[-_MAX_ROWS:],
        history=history[-_MAX_ROWS:],
    )


def _metric(ticks: Sequence[Tick], records: Sequence[Record]) -> str:
    """Return the metric of the newest comparison, or before there is one, the first that versions are measured by."""
    pairs = (tick.comparison.paired for tick in reversed(ticks) if tick.comparison)
    measured = (name for record in reversed(records) for name in record.about.metrics)
    return next((pair.metric for pair in pairs if pair), next(measured, ""))
