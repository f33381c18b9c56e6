"""`report.html`: a self-contained page of the sweep, and the same charts as pictures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.io
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from raytl.config.space import Space
from raytl.pages import render
from raytl.run.atomic import write_text
from raytl.sanitize import command
from raytl.search.ranking import Ranking
from raytl.search.record import TrialRecord
from raytl.search.report import charts, pictures
from raytl.search.report.findings import findings
from raytl.search.winner import Winner

_MAX_REASON = 120


@dataclass(frozen=True)
class Header:
    """The sweep's name, data and model, and its duration in `seconds`."""

    name: str
    data: str
    model: str
    images: Mapping[str, int]
    classes: int
    stages: int
    metrics: tuple[str, ...]
    seconds: float


def write_report(
    folder: Path,
    header: Header,
    records: Sequence[TrialRecord],
    space: Space,
    importances: Mapping[str, float],
    winner: Winner,
) -> None:
    """Write `report.html` and its charts as pictures into `folder`."""
    metric = header.metrics[0]
    text = render(
        "raytl.search.report",
        "sweep.html.j2",
        header=header,
        metric=metric,
        plotly_js=get_plotlyjs(),
        states=_states(records),
        duration=_duration(header.seconds),
        winner=winner,
        winner_values=[(key, charts.short(value)) for key, value in winner.record.overrides.items()],
        evaluate=command("raytl", "evaluate", winner.run),
        train=command("raytl", "train", winner.experiment_file),
        findings=findings(records, metric, header.stages, importances, _noise(winner.ranking)),
        figures=[(title, _html(figure)) for title, figure in _figures(records, space, importances, metric)],
        replicate_rows=_replicate_rows(winner.ranking),
        trial_head=_trial_head(space),
        trial_rows=[_trial_row(record, space) for record in records],
    )
    write_text(folder / "report.html", text)
    pictures.write(folder, records, space, importances, metric)


def _states(records: Sequence[TrialRecord]) -> str:
    states = Counter(record.state for record in records)
    return f"{len(records)} trials ({', '.join(f'{count} {state}' for state, count in states.most_common())})"


def _figures(
    records: Sequence[TrialRecord], space: Space, importances: Mapping[str, float], metric: str
) -> list[tuple[str, Figure]]:
    """Return the charts with their titles."""
    importance = [("Importance", charts.importance(importances))] if importances else []
    return [
        ("History", charts.history(records, metric)),
        ("Learning curves", charts.curves(records, metric)),
        *importance,
        ("Each dimension", charts.slices(records, space, metric)),
        ("All dimensions", charts.parallel(records, space, metric)),
        ("Score and cost", charts.cost(records, metric)),
    ]


def _html(figure: Figure) -> str:
    """Return the chart as HTML, in which plotly has escaped the texts."""
    config = {"displayModeBar": False, "responsive": True}
    html: str = plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, config=config)
    return html


def _replicate_rows(ranking: Ranking) -> list[tuple[str, ...]]:
    return [
        (
            str(standing.candidate.number),
            f"{standing.mean:.4f}",
            "" if standing.low is None else f"{standing.low:.4f} to {standing.high:.4f}",
            ", ".join(f"{score:.4f}" for score in standing.candidate.finite_scores),
            f"{standing.candidate.trainable:,}",
        )
        for standing in ranking.order
    ]


def _trial_head(space: Space) -> list[str]:
    keys = [dimension.key.split(".")[-1] for dimension in space.dimensions]
    return ["trial", "state", "value", "epochs", *keys, "seconds", "cached features", "source", "reason"]


def _trial_row(record: TrialRecord, space: Space) -> list[str]:
    return [
        str(record.number),
        record.state,
        "" if record.values is None else f"{record.values[0]:.4f}",
        str(record.epochs),
        *(charts.short(record.overrides.get(dimension.key, "")) for dimension in space.dimensions),
        f"{record.seconds:.1f}",
        record.features,
        record.source,
        record.reason[:_MAX_REASON],
    ]


def _noise(ranking: Ranking) -> float | None:
    """Return the mean standard deviation over seeds, if any trial was repeated."""
    spreads = [statistics.stdev(s.candidate.finite_scores) for s in ranking.order if len(s.candidate.finite_scores) > 1]
    return statistics.fmean(spreads) if spreads else None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
