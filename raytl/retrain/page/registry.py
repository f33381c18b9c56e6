"""The page of a registry: its versions over time, its ticks, and every move of an alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from raytl.registry.record import Move, Record
from raytl.retrain.page.charts import Point, line
from raytl.retrain.page.markup import Node, page, table, tag
from raytl.retrain.ticks import Tick

_LAST = 60


def registry_page(
    name: str, records: Sequence[Record], aliases: Mapping[str, int], history: Sequence[Move], ticks: Sequence[Tick]
) -> str:
    """The page, as HTML; pages of ticks are beside it in `pages/`."""
    outcomes = {tick.version: tick.outcome for tick in ticks if tick.version is not None}
    metric = next(
        (t.comparison.paired.metric for t in reversed(ticks) if t.comparison and t.comparison.paired),
        "balanced_accuracy",
    )
    points = [
        Point(datetime.fromisoformat(r.about.created), value, outcomes.get(r.number, "keep"), str(r.number))
        for r in records
        if metric != "log_loss" and (value := r.about.metrics.get(metric)) is not None
    ]
    told = ", ".join(f"{alias} is version {number}" for alias, number in aliases.items()) or "no aliases yet"
    return page(
        f"{name}: versions",
        tag("h1", name),
        tag("p", f"{len(records)} versions; {told}", class_="soft"),
        [tag("h2", f"{metric.replace('_', ' ')} over time"), line(points), _legend()] if points else None,
        tag("h2", "Versions"),
        table(
            ("version", "", "published", "became", metric.replace("_", " "), "evaluated on", "data", "from"),
            [_version(record, aliases, outcomes, metric) for record in reversed(records)],
            numbers=[0, 4],
        ),
        tag("h2", "Ticks"),
        table(("when", "outcome", "why"), [_tick(tick) for tick in reversed(ticks[-_LAST:])]),
        tag("h2", "Moves"),
        table(("when", "who", "moved", "why"), [_move(move) for move in reversed(history[-_LAST:])]),
    )


def _legend() -> Node:
    return tag(
        "p",
        "Each version on the evaluation images of its day. Green: promoted (the line), grey: kept back, red: rejected.",
        class_="soft",
    )


def _version(record: Record, aliases: Mapping[str, int], outcomes: Mapping[int, str], metric: str) -> tuple[Node, ...]:
    about = record.about
    value = about.metrics.get(metric)
    outcome = outcomes.get(record.number, "")
    return (
        tag("a", str(record.number), href=f"pages/{about.tick}.html"),
        ", ".join(alias for alias, number in aliases.items() if number == record.number),
        about.created[:16].replace("T", " "),
        tag("span", outcome, class_=outcome),
        "–" if value is None else f"{100 * value:.1f} %" if metric != "log_loss" else f"{value:.3f}",
        about.evaluation[:8],
        about.snapshot[:8],
        "" if about.parent is None else str(about.parent),
    )


def _tick(tick: Tick) -> tuple[Node, ...]:
    when = tick.started[:16].replace("T", " ")
    shown = tag("a", when, href=f"pages/{tick.id}.html") if tick.outcome not in ("skip", "") else when
    return shown, tag("span", tick.outcome or tick.stage, class_=tick.outcome), "; ".join(tick.reasons)


def _move(move: Move) -> tuple[Node, ...]:
    moved = ", ".join(f"{alias} {old or 'none'} → {new or 'none'}" for alias, (old, new) in move.moved.items())
    return move.when[:16].replace("T", " "), move.who, moved, move.why
