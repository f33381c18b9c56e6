"""`report.html`: a self-contained page of the sweep, and the same charts as pictures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.space import Space
from raytl.pages import render
from raytl.pages.figures import Draw, inline
from raytl.run.atomic import write_text
from raytl.run.plots import save
from raytl.sanitize import command
from raytl.search.importance import MIN_TRIALS, ROUGH_TRIALS, best_count
from raytl.search.ranking import Ranking
from raytl.search.record import TrialRecord
from raytl.search.report import plots
from raytl.search.report.findings import findings
from raytl.search.winner import Winner

_MAX_REASON = 120
_PNG_IN = 8.0
"""The width of the PNG files."""
_STATES = "Blue circles: complete trials. Gray squares: pruned trials, which were stopped early. "
_HISTORY = _STATES + "Orange line: the best score so far."
_CURVES = (
    "The validation score after each epoch. Orange: the best trial. Blue: complete trials. Gray, dashed: pruned trials, which "
    "were stopped early."
)
_IMPORTANCE = (
    "How much each dimension decides whether a trial is among the best {best} of {scored} (PED-ANOVA; scores of "
    "pruned trials count as they stood). The bars add up to 100 %."
)
_ROUGH = " With so few trials this is a rough guide."
_SLICES = _STATES + "A dimension is drawn only for the trials that use it."
_ALL = (
    "Each line is a trial: it joins its values, from the lowest (left) to the highest (right) of each dimension, and ends at its "
    "score. Orange: the best third of the trials. Gray: the others."
)
_COST = _STATES + "Better and cheaper trials are at the left."


@dataclass(frozen=True)
class Header:
    """The sweep's name, data and model, its duration in `seconds`, why it ended early, if it did (`stop`), the earlier sweeps
    that it started from, and the sizes of images at which trials and finalists were measured (`measured_at`), in words."""

    name: str
    data: str
    model: str
    images: Mapping[str, int]
    classes: int
    stages: int
    metrics: tuple[str, ...]
    seconds: float
    stop: str = ""
    folds: int | None = None
    prior: str = ""
    measured_at: str = ""


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
    charts = _charts(records, space, importances, metric)
    text = render(
        "raytl.search.report",
        "sweep.html.j2",
        header=header,
        metric=metric,
        states=_states(records),
        duration=_duration(header.seconds),
        winner=winner,
        winner_values=[(key, plots.short(value)) for key, value in winner.record.overrides.items()],
        evaluate=command("raytl", "evaluate", winner.run),
        train=command("raytl", "train", winner.experiment_file),
        findings=findings(records, metric, header.stages, importances, _noise(winner.ranking)),
        charts=[(chart, inline(chart.file, chart.title, chart.caption, chart.draw)) for chart in charts],
        min_trials=MIN_TRIALS,
        has_importances=bool(importances),
        replicate_rows=_replicate_rows(winner.ranking),
        trial_head=_trial_head(space),
        trial_rows=[_trial_row(record, space) for record in records],
    )
    write_text(folder / "report.html", text)
    for chart in charts:
        save(chart.draw(_PNG_IN), folder / f"{chart.file}.png")


def _states(records: Sequence[TrialRecord]) -> str:
    states = Counter(record.state for record in records)
    return f"{len(records)} trials ({', '.join(f'{count} {state}' for state, count in states.most_common())})"


@dataclass(frozen=True)
class _Chart:
    """A chart of the sweep, its PNG file without `.png`, and what its colors mean; `rows` are its numbers, if no table has them."""

    file: str
    title: str
    caption: str
    draw: Draw
    rows: tuple[tuple[str, str], ...] = ()


def _charts(
    records: Sequence[TrialRecord], space: Space, importances: Mapping[str, float], metric: str
) -> list[_Chart]:
    scored = sum(record.values is not None for record in records)
    charts = [
        _Chart("history", "History", _HISTORY, lambda width: plots.history(width, records, metric)),
        _Chart("curves", "Learning curves", _CURVES, lambda width: plots.curves(width, records, metric)),
        _Chart("slices", "Each dimension", _SLICES, lambda width: plots.slices(width, records, space, metric)),
        _Chart("dimensions", "All dimensions", _ALL, lambda width: plots.dimensions(width, records, space, metric)),
        _Chart("cost", "Score and cost", _COST, lambda width: plots.cost(width, records, metric)),
    ]
    if importances:
        caption = _IMPORTANCE.format(best=best_count(scored), scored=scored) + (_ROUGH if scored < ROUGH_TRIALS else "")
        rows = tuple((key, f"{value:.1%}") for key, value in importances.items())
        chart = _Chart("importance", "Importance", caption, lambda width: plots.importance(width, importances), rows)
        charts.insert(2, chart)
    return charts


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
        *(plots.short(record.overrides.get(dimension.key, "")) for dimension in space.dimensions),
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
