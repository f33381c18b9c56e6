"""Measure the time per trial and the memory of the driver of a sweep, over 2,000 trials that cost nothing.

    python -m experiments.bench.trials                     # Ray Tune, with the random sampler and with TPE
    python -m experiments.bench.trials --trials 500 --sampler tpe

A trial is three epochs of a formula, with the same executor, study, scheduler and journal as `raytl tune`.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from raytl.cluster.session import session
from raytl.config.schema import Experiment
from raytl.config.space import space_of
from raytl.events import Event, TrialChanged
from raytl.search.budget import BudgetTracker
from raytl.search.executor import Trial, TrialExecutor, run_on_tune
from raytl.search.plan import TrialShape
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.searcher import StudyScheduler, StudySearcher
from raytl.search.study import Study
from raytl.search.sweep_state import SweepState

ROOT = Path("runs/bench/trials")
STAGES, EPOCHS = 6, 3
LIMIT = 2


class Formula:
    """A trial whose score is a formula of its values."""

    def __init__(self, suggestion: Suggestion) -> None:
        values = suggestion.overrides
        rate, depth = math.log10(values["optim.lr"]), values["transfer.unfreeze"]
        self._best = 0.9 - 0.05 * (rate + 3) ** 2 - 0.01 * (depth - 3) ** 2
        self._epoch = 0

    def step(self) -> TrialResult:
        """Return the result of the next epoch."""
        self._epoch += 1
        metrics = {"val/balanced_accuracy": self._best * (1 - 0.5**self._epoch)}
        return TrialResult("complete" if self._epoch >= EPOCHS else "running", EpochScores(self._epoch, metrics))

    def close(self) -> None:
        """Do nothing."""


def formula(suggestion: Suggestion) -> Trial:
    """Open a trial that costs nothing."""
    return Formula(suggestion)


@dataclass
class Curve:
    """Wall milliseconds and driver CPU milliseconds per trial, and memory of the driver, by block of trials."""

    block: int
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    _process: psutil.Process = field(default_factory=psutil.Process)
    _last: tuple[float, float] = (0.0, 0.0)
    _done: int = 0

    def __post_init__(self) -> None:
        self._last = self._now()

    def hear(self, event: Event) -> None:
        """Record the end of a block."""
        if not isinstance(event, TrialChanged) or event.done < self._done + self.block:
            return
        now = self._now()
        self._done = event.done
        self.wall_ms.append(1000 * (now[0] - self._last[0]) / self.block)
        self.cpu_ms.append(1000 * (now[1] - self._last[1]) / self.block)
        self.memory_mb.append(self._process.memory_info().rss / 1e6)
        self._last = now
        print(f"{self._done:>6} {self.wall_ms[-1]:8.1f} {self.cpu_ms[-1]:8.1f} {self.memory_mb[-1]:8.0f}", flush=True)

    def _now(self) -> tuple[float, float]:
        times = self._process.cpu_times()
        return time.perf_counter(), times.user + times.system


def run(sampler: str, trials: int, block: int) -> Curve:
    """Return the curve of a sweep of `trials` trials."""
    folder = ROOT / sampler
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    search = {"trials": trials, "sampler": sampler, "grace_epochs": 1, "budget": {"max_epochs": EPOCHS}}
    experiment = Experiment.model_validate(
        {"name": sampler, "data": {"uri": "none"}, "model": {"name": "none"}, "search": search}
    )
    space = space_of(experiment).resolved(STAGES)
    base = {
        f"{section}.{key}": value
        for section, values in experiment.model_dump().items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    config = experiment.search
    study = Study.open(folder, config, name=sampler, space=space, base=base, stages=STAGES, epochs=EPOCHS, same={})
    shape = TrialShape(1, 1, 0.0)
    print(f"\n{sampler}, {LIMIT} at a time\ntrials  ms wall   ms CPU       MB")
    curve = Curve(block)
    state = SweepState(study, config, BudgetTracker(config, shape), EPOCHS, trials, curve.hear)
    executor = TrialExecutor("local", shape, LIMIT)
    run_on_tune(
        StudySearcher(state, LIMIT, max_failures=0),
        StudyScheduler(state),
        partial(bool, 0),
        formula,
        executor,
        folder / ".ray",
    )
    assert len(study.records()) == trials
    return curve


def main() -> None:
    """Run the sweeps, print their curves, and save them in runs/bench/trials.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sampler", action="append", choices=["random", "tpe"])
    options = parser.parse_args()
    block = max(1, options.trials // 10)
    with session("local"):
        curves = {sampler: run(sampler, options.trials, block) for sampler in options.sampler or ["random", "tpe"]}
    results = {
        name: {"block": curve.block, "wall_ms": curve.wall_ms, "cpu_ms": curve.cpu_ms, "memory_mb": curve.memory_mb}
        for name, curve in curves.items()
    }
    (ROOT.parent / "trials.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
