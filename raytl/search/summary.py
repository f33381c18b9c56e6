"""The files of a sweep beside its study: its result, its number of trials, and its wall time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from raytl.config.machine import storage_options
from raytl.config.places import sweep_uri, winner_uri
from raytl.config.schema import Experiment
from raytl.config.search import SearchConfig
from raytl.errors import ConfigError
from raytl.run.atomic import write_json
from raytl.run.folder import working_copy
from raytl.sanitize import command
from raytl.search.grid import is_grid
from raytl.search.stopping import Stop
from raytl.store.s3_settings import S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, Score, at_most, within
from raytl.uris import is_remote

SUMMARY, TOTAL = "summary.json", "trials.json"
_CLOCK = "clock.json"
Trials = Annotated[int, within(0, 10**6)]


@dataclass(frozen=True, slots=True)
class Finalist:
    """A finalist: its mean score over seeds with the interval, and the score of each seed."""

    number: Count
    mean: Score
    low: Score | None
    high: Score | None
    scores: list[Score]


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep: trials by state, the best trial, and the winner after replicates, with the reason."""

    folder: Name
    status: Literal["finished", "already finished", "stopped by budget", "stopped at validation noise"]
    trials: Annotated[dict[Name, Trials], at_most(100, "states")]
    best_number: Count
    best_value: Score
    metric: Name
    overrides: dict[Name, Any]
    winner_number: Count
    reason: str
    sweep_score: Score
    replicates: list[Finalist]
    refit_score: Score | None
    soup: dict[Name, Any] | None
    experiment_file: Name
    run: Name
    report: Name
    csv: Name
    seconds: float
    next: str
    measured_at: Annotated[str, at_most(200, "characters")] = ""
    stop: Stop | None = None
    """Why the sweep ended before all trials had run."""
    folds: Annotated[int, within(2, 10)] | None = None
    """Folds over which scores are means; None = scores are those of the validation split."""

    @property
    def ended(self) -> int:
        """Return the number of trials that ended."""
        return sum(count for state, count in self.trials.items() if state != "running")

    def moved(self, old: str, new: str) -> SweepResult:
        """Return the result with the locations below `old` replaced by those below `new`."""
        names = ("folder", "experiment_file", "report", "csv")
        moved: dict[str, Any] = {name: getattr(self, name).replace(old, new, 1) for name in names}
        return replace(self, **moved)


@dataclass(frozen=True, slots=True)
class Total:
    """The number of trials of a sweep.

    With `planned`, it is fixed while `search.trials` is at most that: `--add` asked for it, or the sweep stopped (`stop`).
    """

    trials: Trials
    planned: Trials | None = None
    stop: Stop | None = None
    added: Trials = 0
    """Number of them that the last `--add` added; it is not applied again before they end."""
    limit: Trials | None = None
    """Number of trials with which a grid has no more points; None with every other sampler."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall time of a sweep so far."""

    wall_s: Annotated[float, within(0, 1e9)]


_ADVICE = "Restore the file, or delete it and run the same command again."
SUMMARY_FORMAT = Format[SweepResult](SweepResult, "the summary of a sweep", _ADVICE)
TOTAL_FORMAT = Format[Total](Total, "the number of a sweep's trials", _ADVICE)
CLOCK_FORMAT = Format[Clock](Clock, "the clock of a sweep", _ADVICE)


def sweep_root(experiment: Experiment) -> Path:
    """Return the working folder of the sweep of `experiment` on this node."""
    return working_copy(sweep_uri(experiment), S3Settings.of(experiment.storage))


def wall_s(folder: Path) -> float:
    """Return the wall time of the sweep in `folder` so far."""
    path = folder / _CLOCK
    return CLOCK_FORMAT.load(path).wall_s if path.exists() else 0.0


def write_wall_s(folder: Path, seconds: float) -> None:
    """Store the wall time of the sweep in `folder` so far."""
    write_json(folder / _CLOCK, {"wall_s": seconds})


def ended(folder: Path) -> int:
    """Return the number of trials that ended in the sweep in `folder`; 0 if it has no result.

    Those that the budget interrupted are running still: with a larger one they resume.
    """
    path = folder / SUMMARY
    if not path.exists():
        return 0
    return SUMMARY_FORMAT.load(path).ended


def total_of(folder: Path, search: SearchConfig, add: int = 0, limit: int | None = None) -> Total:
    """Return the number of trials: that of `search`, or of an earlier start in `folder` with `--add`, plus `add`; of a grid,
    `limit` at most, or the number that an earlier start stored.

    `add` replaces an earlier one whose trials have not all ended, so that the same command resumes them.

    Raises:
        ConfigError: a grid has no more points to add.
    """
    path = folder / TOTAL
    stored = TOTAL_FORMAT.load(path) if path.exists() else Total(0)
    total = _unlimited(folder, search, add, stored)
    if not is_grid(search.sampler):
        return replace(total, limit=None)
    limit = max(limit or 0, stored.limit or 0) or None
    return total if limit is None else _within(total, limit, add)


def _unlimited(folder: Path, search: SearchConfig, add: int, stored: Total) -> Total:
    """Return the number of trials of any other sampler than a grid."""
    is_fixed = stored.planned is not None and search.trials <= stored.planned
    if stored.stop is not None and search.stop == "never":
        stored, is_fixed = Total(0), False
    before = stored.trials - (stored.added if add and ended(folder) < stored.trials else 0)
    base = before if is_fixed else max(search.trials, before)
    if add:
        return Total(base + add, planned=max(search.trials, base), added=add)
    return stored if is_fixed else Total(base)


def _within(total: Total, limit: int, add: int) -> Total:
    """Return the number of trials of a grid, those that `add` adds among them, up to its `limit`."""
    added = min(total.added, max(0, limit - (total.trials - total.added)))
    if add and not added:
        raise ConfigError(
            f"--add: found {add}, and the grid of search.space has no more points: the sweep runs {limit} trials without it. "
            "Remove --add; for other values, start a sweep of another name with a larger search.space"
        )
    return replace(total, trials=min(total.trials, limit), added=added, limit=limit)


def is_finished(folder: Path, search: SearchConfig) -> bool:
    """Return True if the sweep in `folder` has a result, with all trials that `search` asks for or until it stopped."""
    total = total_of(folder, search)
    wanted = min(search.trials, total.trials) if total.planned is None else total.trials
    return (folder / SUMMARY).exists() and wanted <= ended(folder)


def finished(folder: Path, experiment: Experiment) -> SweepResult:
    """Return the result of a finished sweep; the run's location follows from `experiment`, as a summary may come from
    anywhere."""
    uri = winner_uri(experiment)
    run = uri if is_remote(uri) else str(working_copy(uri, S3Settings.of(experiment.storage)))
    stored = SUMMARY_FORMAT.load(folder / SUMMARY)
    return replace(
        stored, status="already finished", run=run, next=command("raytl", "evaluate", run, *storage_options(experiment))
    )
