"""The study: Optuna's storage as the only state of a sweep, addressed by trial number.

A suggestion is a pure function of the storage, the seed and the trial's number, so a sweep that was killed and resumed
suggests the same trials as one that was not. A trial that was running is suggested again under its own number.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from raytl.config.fingerprint import ADDED, OFF
from raytl.config.search import SearchConfig
from raytl.config.space import Space
from raytl.errors import RunError
from raytl.metrics.direction import lower_is_better
from raytl.search import halving, importance, suggest
from raytl.search.comparison import another_experiment
from raytl.search.grid import PointKey, point_key
from raytl.search.guided import Guide
from raytl.search.prior import NO_PRIOR, Prior, check
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.record import EndState, TrialRecord
from raytl.search.storage import open_storage, read_as_study, study_name
from raytl.search.stored_trial import record_of

TRIALS = "trials"
"""The folder of the trials in the sweep's folder."""
_STOPPED = "stopped"
_RUNG, _LAST_RUNG = "rung", "stood"
_DEPTH = "transfer.unfreeze"
_DIRECTIONS = {True: optuna.study.StudyDirection.MINIMIZE, False: optuna.study.StudyDirection.MAXIMIZE}
_DRAWS = 8
"""The most draws for a suggestion that no earlier trial equals."""


@dataclass
class Study:
    """The trials of a sweep. Only one process at a time asks, reports and tells; any may read."""

    folder: Path
    study: optuna.Study
    search: SearchConfig
    space: Space
    base: Mapping[str, Any]
    trials: int
    epochs: int
    root: str
    guide: Guide
    _resumable: list[FrozenTrial] = field(default_factory=list)
    _waiting: dict[int, float] = field(default_factory=dict)
    _suggested: list[int] = field(default_factory=list)
    _open: dict[int, optuna.Trial] = field(default_factory=dict)
    _seen: set[PointKey] = field(default_factory=set)
    _pruned: list[int] = field(default_factory=list)
    _next_number: int = 0
    _ended: int = 0

    @classmethod
    def open(
        cls,
        folder: Path,
        search: SearchConfig,
        *,
        name: str,
        space: Space,
        base: Mapping[str, Any],
        stages: int,
        epochs: int,
        same: Mapping[str, Any],
        root: str | None = None,
        prior: Prior = NO_PRIOR,
    ) -> Study:
        """Open the study in `folder` (or in the database of `search.storage`); create it if there is none.

        A trial trains for at most `epochs`. `same` is what all trials have in common, by key; `root` is the location of
        the trials, below `folder` by default. `prior` are the earlier sweeps that it began with.

        Raises:
            ConfigError: the sampler is not available or does not suit the space, or the database cannot be opened.
            RunError: it is a study of another experiment; lists the differences.
        """
        sampler = suggest.sampler(search.sampler, search.seed, space, len(search.metrics))
        guide, root = Guide(search, space, base, stages, prior), root or str(folder / TRIALS)
        _ = guide.grid  # one with too many points raises before the study is stored with that space
        with read_as_study(folder):
            stored, is_new = _load_or_create(folder, search, name, sampler)
            study = cls(folder, stored, search, space, base, search.trials, epochs, root, guide)
            own = {"metric": ", ".join(search.metrics)} | ({"search.prior": prior.digest} if prior.sweeps else {})
            study._check(folder, {**own, **_texts(space.record()), **_texts(same)})
            check(prior, folder, space, base)
            if is_new:
                for source, point in guide.first_points():
                    stored.enqueue_trial(point, user_attrs={"source": source})
            study.records()  # to report damage before the sweep resumes
            study._count_trials()
        return study

    def ask(self) -> Suggestion | None:
        """Return the next trial; None if `trials` were suggested and none that waits at a rung can resume yet."""
        self._halve()
        while self._resumable:
            trial = self._resumable.pop(0)
            attrs = trial.user_attrs
            if attrs.get(_STOPPED):
                self._prune(trial.number)
            elif "overrides" in attrs:
                self._open[trial.number] = optuna.Trial(self.study, trial._trial_id)
                return Suggestion(trial.number, self._record(trial).overrides, attrs["source"])
            else:  # the driver was killed before it stored the values
                self.study.tell(trial.number, state=TrialState.FAIL)
        return self._new() if len(self._suggested) < self._total else None

    def taken_pruned(self) -> list[int]:
        """Return, and forget, the trials that `ask` pruned: those that lost at a rung, or that a killed process left stopped."""
        taken, self._pruned = self._pruned, []
        return taken

    @property
    def unsuggested(self) -> int:
        """Number of trials that were not suggested yet."""
        return max(0, self._total - len(self._suggested))

    def close(self) -> None:
        """Suggest no new trials; those that wait at a rung, or that a killed process left, still resume."""
        self.trials = len(self._suggested)

    @property
    def is_grid(self) -> bool:
        """True if the trials are the points of a grid."""
        return self.guide.grid is not None

    @property
    def limit(self) -> int | None:
        """Number of trials with which a grid has no more points, those that an old sweep repeated among them; None without a grid."""
        repeated = len(self._suggested) - len(self._seen)
        return None if self.guide.grid is None else len(self.guide.grid) + repeated

    @property
    def _total(self) -> int:
        """Number of trials in all: a grid may have fewer points than `trials`."""
        return self.trials if self.limit is None else min(self.trials, self.limit)

    def _seed(self, number: int, draw: int) -> int:
        """Return the sampler's seed for a draw of a trial."""
        text = f"{self.search.seed}/{number}/{draw}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def report(self, number: int, result: TrialResult) -> bool:
        """Store the objectives of each epoch of `result`; return True if the trial has fallen behind and is to be stopped.

        The decision follows from the storage alone, by successive halving (Li et al. 2020), and is stored with the trial:
        it stands even if the driver dies before the trial is stopped.
        """
        return any(self._report(number, scores, result) for scores in result.epochs)

    def _report(self, number: int, scores: EpochScores, result: TrialResult) -> bool:
        epoch, values = scores.epoch, [float(scores.metrics[metric]) for metric in self.search.metrics]
        if not all(map(math.isfinite, values)):
            return True
        trial = self._open[number]
        frozen = self._frozen(trial)
        self._update_best(trial, frozen.user_attrs.get("best"), epoch, values)
        if len(values) > 1:
            trial.set_user_attr(f"epoch {epoch}", values[0])
            return False
        if epoch not in frozen.intermediate_values:
            trial.report(values[0], epoch)
        if self._is_exempt(frozen):
            return False
        is_halving = self.search.scheduler == "halving"
        stop = self._is_at_rung(trial, epoch) if is_halving else trial.should_prune()
        if stop:
            _set_attributes(trial, result)
            if is_halving:
                self._wait(trial, epoch)
            else:
                trial.set_user_attr(_STOPPED, True)
        return stop

    def _update_best(self, trial: optuna.Trial, best: list[float] | None, epoch: int, values: list[float]) -> None:
        if best is None or self._is_better(values[0], best[0]):
            trial.set_user_attr("best", values)
            trial.set_user_attr("best_epoch", epoch)

    def tell(self, number: int, state: EndState, result: TrialResult) -> bool:
        """End a trial: complete with its best values so far, pruned, or failed. A second call changes nothing.

        Return False if the trial did not end, but waits at its rung.
        """
        trial = self._open.pop(number, None)
        if trial is None:
            return True
        trial.set_user_attr("reason", result.reason)
        _set_attributes(trial, result)
        if state == "pruned" and number in self._waiting:
            return False
        self._ended += 1
        best = trial.user_attrs.get("best")
        if state == "complete" and best is not None:
            self.study.tell(number, best)
        elif state == "pruned" and best is not None:
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, state=TrialState.FAIL)
        return True

    def store_seconds(self, number: int, seconds: float) -> None:
        """Store the training time of a trial that did not end."""
        self._at(number).set_user_attr("seconds", seconds)

    def records(self) -> list[TrialRecord]:
        """Return every trial that was suggested, by number."""
        trials = self.study.get_trials(deepcopy=False)
        return [self._record(trial) for trial in trials if "overrides" in trial.user_attrs]

    def record(self, number: int) -> TrialRecord:
        """Return the trial `number`, which was suggested."""
        return self._record(self._by_number(number))

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        """Return the trial after checking that this sweep could have suggested it: a study may come from anywhere.

        Raises:
            RunError: its overrides are not a point of the space, or its folder is not below the trials' root.
        """
        record = record_of(trial, self.root)
        fault = self.space.fault(record.overrides, self.base)
        if not fault and Path(record.folder).name in ("..", "."):
            fault = f"folder: found {record.folder!r}; expected a folder below {self.root}"
        if fault:
            raise RunError(
                f"{self.folder}: trial {trial.number}: {fault}. The study was edited or damaged; restore it, or start over "
                "with --new (the old sweep is renamed, not deleted)."
            )
        return record

    def counts(self) -> tuple[int, int]:
        """Return the numbers of trials that ended and that remain."""
        return self._ended, max(0, self._total - self._ended)

    def importances(self) -> dict[str, float]:
        """Return the importance of each dimension for the first objective; empty with too few scores."""
        return importance.importances(self.study.get_trials(deepcopy=False), self.records(), self.search.metrics[0])

    def _count_trials(self) -> None:
        """Read all trials once, so that no later call has to."""
        trials = self.study.get_trials(deepcopy=False)
        suggested = [trial for trial in trials if "overrides" in trial.user_attrs]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        self._waiting = {trial.number: self._score(trial) for trial in running if trial.user_attrs.get(_RUNG)}
        self._resumable = [trial for trial in running if trial.number not in self._waiting]
        self._suggested = [trial.number for trial in suggested]
        self._seen = {point_key(trial.user_attrs["overrides"]) for trial in suggested}
        self._next_number = len(trials)
        self._ended = sum(trial.state.is_finished() for trial in suggested)

    def _is_exempt(self, trial: FrozenTrial) -> bool:
        """Return True for a linear probe in a search over depth: it is at its best after an epoch and cheap, and deeper
        trials would look bad beside it in their first epochs."""
        return bool(trial.user_attrs["overrides"].get(_DEPTH) == 0)

    def _is_at_rung(self, trial: optuna.Trial, epoch: int) -> bool:
        """Return True if `epoch` is a rung at which the trial has not waited yet."""
        last_rung: int = trial.user_attrs.get(_LAST_RUNG, 0)
        return epoch in self._rungs() and epoch > last_rung

    def _wait(self, trial: optuna.Trial, epoch: int) -> None:
        """Let the trial wait at the rung `epoch` for its cohort."""
        trial.set_user_attr(_LAST_RUNG, epoch)
        trial.set_user_attr(_RUNG, epoch)
        self._waiting[trial.number] = self._score(self._frozen(trial))

    def _halve(self) -> None:
        """Promote the best of each cohort whose trials all wait at a rung, and prune the others."""
        if not self._waiting or self._resumable:
            return
        size = self.search.reduction ** len(self._rungs())
        closed = len(self._suggested) >= self._total
        for cohort in halving.cohorts(self._suggested, size, closed):
            promoted, pruned = halving.verdict(cohort, self._waiting, self._open, self.search.reduction)
            for number in promoted:
                self._at(number).set_user_attr(_RUNG, 0)
                self._resumable.append(self._by_number(number))
            for number in pruned:
                self._prune(number)
            for number in (*promoted, *pruned):
                del self._waiting[number]

    def _prune(self, number: int) -> None:
        self.study.tell(number, state=TrialState.PRUNED)
        self._ended += 1
        self._pruned.append(number)

    def _rungs(self) -> tuple[int, ...]:
        return halving.rungs(self.search.grace_epochs, self.search.reduction, self.epochs)

    def _score(self, trial: FrozenTrial) -> float:
        """Return the trial's best value so far; higher is better."""
        best: float = trial.user_attrs["best"][0]
        return -best if lower_is_better(self.search.metrics[0]) else best

    def _at(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self._by_number(number)._trial_id)

    def _new(self) -> Suggestion:
        number = self._next_number
        for draw in range(_DRAWS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.study.sampler = self.guide.sampler(self.study, number, self._seed(number, draw))
                trial = self.study.ask()
                overrides = suggest.suggest(trial, self.space, self.base)
            self._next_number = max(self._next_number, trial.number + 1)
            if point_key(overrides) not in self._seen or draw == _DRAWS - 1:
                break
            self.study.tell(trial.number, state=TrialState.FAIL)  # a duplicate, which is not run
        source = trial.user_attrs.get("source", "sampler")
        trial.set_user_attr("source", source)
        trial.set_user_attr("overrides", overrides)
        self._suggested.append(trial.number)
        self._seen.add(point_key(overrides))
        self._open[trial.number] = trial
        return Suggestion(trial.number, overrides, source)

    def _frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self.study._storage.get_trial(trial._trial_id)

    def _by_number(self, number: int) -> FrozenTrial:
        storage, study = self.study._storage, self.study._study_id
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study, number))

    def _is_better(self, value: float, best: float) -> bool:
        return value < best if lower_is_better(self.search.metrics[0]) else value > best

    def _check(self, folder: Path, wanted: Mapping[str, str]) -> None:
        stored = self.study.user_attrs.get("raytl")
        if stored is None:
            self.study.set_user_attr("raytl", dict(wanted))
            return
        compared = [
            key for key in sorted({*stored, *wanted}) if key in stored or not (key in ADDED or wanted[key] in OFF)
        ]
        if keys := [key for key in compared if stored.get(key) != wanted.get(key)]:
            raise another_experiment(
                folder, [f"{key}: {stored.get(key, '-')} -> {wanted.get(key, '-')}" for key in keys]
            )


def _load_or_create(folder: Path, search: SearchConfig, name: str, sampler: BaseSampler) -> tuple[optuna.Study, bool]:
    """Return the study in its storage, and True if it is new."""
    storage, name = open_storage(folder, search), study_name(folder, search, name)
    pruner = (
        optuna.pruners.SuccessiveHalvingPruner(min_resource=search.grace_epochs, reduction_factor=search.reduction)
        if search.scheduler == "asha"
        else optuna.pruners.NopPruner()
    )
    summaries = optuna.get_all_study_summaries(storage, include_best_trial=False)
    if name in {summary.study_name for summary in summaries}:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner), False
    directions = [_DIRECTIONS[lower_is_better(metric)] for metric in search.metrics]
    study = optuna.create_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner, directions=directions)
    return study, True


def _set_attributes(trial: optuna.Trial, result: TrialResult) -> None:
    for name in ("seconds", "trainable", "features", "folder"):
        trial.set_user_attr(name, getattr(result, name))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
