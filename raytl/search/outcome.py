"""The output of a sweep: a table of all trials, the report, and the result as a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raytl.config.machine import storage_options
from raytl.config.schema import Experiment
from raytl.config.space import Space
from raytl.run.atomic import write_text
from raytl.sanitize import command, csv_cell
from raytl.search.record import TrialRecord, best_first
from raytl.search.report.page import Header, write_report
from raytl.search.study import Study
from raytl.search.summary import Finalist, SweepResult
from raytl.search.winner import Winner
from raytl.training.plan import Plan


@dataclass(frozen=True)
class Files:
    """The paths of the report and the table."""

    report: str
    csv: str


def report_on(
    folder: Path,
    plan: Plan,
    experiment: Experiment,
    space: Space,
    study: Study,
    winner: Winner,
    seconds: float,
    stop: str,
    measured_at: str = "",
) -> Files:
    """Write `trials.csv`, the charts and `report.html` into `folder`; `stop` says why the sweep ended early."""
    records = study.records()
    write_text(folder / "trials.csv", table(records, [dimension.key for dimension in space.dimensions]))
    header = Header(
        name=experiment.name,
        data=experiment.data.uri,
        model=experiment.model.name,
        images=plan.dataset.splits.images,
        classes=len(plan.dataset.splits.classes),
        stages=len(plan.stages) - 1,
        metrics=experiment.search.metrics,
        seconds=seconds,
        stop=stop,
        folds=experiment.search.folds,
        prior=study.guide.prior.text,
        measured_at=measured_at,
    )
    write_report(folder, header, records, space, study.importances(), winner)
    return Files(str(folder / "report.html"), str(folder / "trials.csv"))


def table(records: Sequence[TrialRecord], keys: Sequence[str]) -> str:
    """Return all trials as CSV, one per row; a cell is empty if the trial has no such value. Text is escaped
    (`sanitize.as_cell`)."""
    columns = ("value", "best_epoch", "epochs", "seconds", "trainable", "features", "source", "reason", "folder")
    rows: list[list[Any]] = [["number", "state", *keys, *columns]]
    for record in records:
        overrides = [record.overrides.get(key, "") for key in keys]
        score = "" if record.values is None else record.values[0]
        rest = [getattr(record, name) for name in columns[1:]]
        rows.append([record.number, record.state, *overrides, score, *rest])
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(cell: Any) -> str:
    return csv_cell(cell) if isinstance(cell, str) else "" if cell is None else str(cell)


def result_of(
    folder: Path,
    experiment: Experiment,
    study: Study,
    winner: Winner,
    files: Files,
    seconds: float,
    measured_at: str = "",
) -> SweepResult:
    """Return the result of a finished sweep; `measured_at` says which sizes of images its scores are of."""
    records = study.records()
    metric = experiment.search.metrics[0]
    best = best_first(records, metric)[0]
    assert best.values is not None
    return SweepResult(
        folder=str(folder),
        status="finished",
        trials=dict(Counter(record.state for record in records)),
        best_number=best.number,
        best_value=best.values[0],
        metric=metric,
        overrides=dict(winner.record.overrides),
        winner_number=winner.record.number,
        reason=winner.ranking.reason,
        sweep_score=winner.rescored,
        replicates=[
            Finalist(each.candidate.number, each.mean, each.low, each.high, list(each.candidate.finite_scores))
            for each in winner.ranking.order
        ],
        refit_score=winner.refit_score,
        soup=None if winner.soup is None else asdict(winner.soup),
        experiment_file=winner.experiment_file,
        run=winner.run,
        report=files.report,
        csv=files.csv,
        seconds=seconds,
        folds=experiment.search.folds,
        next=command("raytl", "evaluate", winner.run, *storage_options(experiment)),
        measured_at=measured_at,
    )
