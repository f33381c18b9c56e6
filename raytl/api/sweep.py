"""A finished sweep as a value: its best trial, all of its trials, and the run of its winner."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from raytl.api.run import Run
from raytl.api.table import table
from raytl.config.source import scalar
from raytl.errors import RunError
from raytl.metrics.direction import sign
from raytl.pages import render
from raytl.sanitize import printable
from raytl.search.summary import SweepResult

_OWN = (
    "number",
    "state",
    "value",
    "best_epoch",
    "epochs",
    "seconds",
    "trainable",
    "features",
    "source",
    "reason",
    "folder",
)
_MAX_ROWS = 20


@dataclass(frozen=True)
class Trial:
    """One trial: its values by dotted key, and the best `value` of the sweep's metric (None if it failed early)."""

    number: int
    state: str
    overrides: Mapping[str, Any]
    value: float | None
    best_epoch: int | None
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    `best` is the trial with the best value. `winner` is the run of the configuration that held up with other seeds,
    trained once more; it may come from another trial (`winner_number`), and `reason` says why it won.
    """

    uri: str
    status: Literal["finished", "already finished", "stopped by budget", "stopped at validation noise"]
    metric: str
    best: Trial
    winner: Run
    winner_number: int
    reason: str
    report: str
    """The HTML report."""
    seconds: float
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    """One row for each trial, as in `trials.csv`."""

    @property
    def trials(self) -> Any:
        """One row for each trial, as a `pandas.DataFrame`, or as a list of dicts if pandas is not installed."""
        return table(self.rows)

    def __repr__(self) -> str:
        return printable(
            f"Sweep({self.uri!r}, {self.status}, {len(self.rows)} trials, best {self.metric} {self.best.value:.4g} by trial "
            f"{self.best.number}, winner: trial {self.winner_number})"
        )

    def _repr_html_(self) -> str:
        """Return the best trials as an HTML table; notebooks call this."""
        trials = [trial_of(row) for row in self.rows]
        worth = sign(self.metric)
        trials.sort(key=lambda trial: (trial.value is None, -worth * (trial.value or 0.0), trial.number))
        keys = sorted({key for trial in trials for key in trial.overrides})
        return render(
            "raytl.api",
            "sweep.html.j2",
            sweep=self,
            keys=keys,
            trials=trials[:_MAX_ROWS],
            hidden=max(0, len(trials) - _MAX_ROWS),
        )


def sweep_of(result: SweepResult, uri: str, trials_csv: Path, winner: Run) -> Sweep:
    """Return the sweep at `uri` that ended with `result`."""
    rows = tuple(read_rows(trials_csv))
    best = next((trial_of(row) for row in rows if row["number"] == result.best_number), None)
    if best is None:
        raise _damaged(trials_csv, f"no row for trial {result.best_number}")
    return Sweep(
        uri=uri,
        status=result.status,
        metric=result.metric,
        best=best,
        winner=winner,
        winner_number=result.winner_number,
        reason=result.reason,
        report=result.report,
        seconds=result.seconds,
        rows=rows,
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a sweep's `trials.csv`, numbers as numbers; an empty cell is None.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{key: _value(cell) for key, cell in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from error
    for line, row in enumerate(rows, start=2):
        if None in row or not row.keys() >= set(_OWN) or not row["state"]:
            raise _damaged(path, f"line {line} does not match the columns")
        if type(row["number"]) is not int or type(row["value"]) not in (int, float, type(None)):
            raise _damaged(path, f"line {line} has no number of a trial, or a value that is no number")
    return rows


def _value(cell: Any) -> Any:
    return scalar(cell) if isinstance(cell, str) and cell else None


def _damaged(path: Path, fault: str) -> RunError:
    return RunError(f"{path}: {fault}; expected the trials of a sweep. Restore the file.")


def trial_of(row: Mapping[str, Any]) -> Trial:
    """Return the trial in a row of `trials.csv`."""
    overrides = {key: value for key, value in row.items() if key not in _OWN and value is not None}
    return Trial(
        number=row["number"],
        state=row["state"],
        overrides=overrides,
        value=row["value"],
        best_epoch=row["best_epoch"],
        epochs=row["epochs"],
        seconds=row["seconds"],
    )
