"""The study: Optuna's own storage as the only truth of a sweep, asked and told by trial number.

What is asked is a pure function of the storage, the seed and the trial's number, so a sweep that was killed and goes on
asks what an undisturbed one would have; a trial that was under way is asked again under its own number.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from raytl.config.schema import SearchConfig
from raytl.config.space import Space
from raytl.errors import RunError
from raytl.search import halving, suggest
from raytl.search.record import ATTRIBUTES_FORMAT, State, TrialAttributes, TrialRecord, lower_is_better
from raytl.search.storage import open_storage, read_as_study

_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
TRIALS = "trials"
"""Where in the sweep's folder its trials have theirs."""
_STOPPED = "stopped"
_RUNG, _STOOD = "rung", "stood"
_DEPTH = "transfer.unfreeze"
_DIRECTIONS = {True: optuna.study.StudyDirection.MINIMIZE, False: optuna.study.StudyDirection.MAXIMIZE}
_ATTRIBUTES = frozenset(each.name for each in fields(TrialAttributes))
_DRAWS = 8
"""How often a suggestion that equals an earlier trial is drawn again."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A trial to run: Optuna's number, its values, and where they come from; `is_again` when it was under way before."""

    number: int
    overrides: dict[str, Any]
    source: str
    is_again: bool = False


@dataclass
class Study:
    """A sweep's trials. Only one process at a time asks and tells; any may read."""

    folder: Path
    study: optuna.Study
    search: SearchConfig
    space: Space
    base: Mapping[str, Any]
    trials: int
    epochs: int
    root: str
    _lost: list[FrozenTrial] = field(default_factory=list)
    _waiting: dict[int, float] = field(default_factory=dict)
    _asked: list[int] = field(default_factory=list)
    _open: dict[int, optuna.Trial] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _born: int = 0
    _over: int = 0

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
    ) -> Study:
        """The study in `folder` (or in the database of `search.storage`), made where there is none.

        A trial trains for `epochs` at most. `same` is what all trials have in common, by key; `root` is where they are kept,
        below `folder` by default.

        Raises:
            ConfigError: the sampler or the database cannot be had.
            RunError: it is a study of something else; with what differs.
        """
        made = suggest.sampler(search.sampler, search.seed, space)
        directions = [_DIRECTIONS[lower_is_better(metric)] for metric in search.metrics]
        pruner = (
            optuna.pruners.SuccessiveHalvingPruner(min_resource=search.grace_epochs, reduction_factor=search.reduction)
            if search.scheduler == "asha"
            else optuna.pruners.NopPruner()
        )
        with read_as_study(folder):
            storage = open_storage(folder, search)
            known = {known.study_name for known in optuna.get_all_study_summaries(storage, include_best_trial=False)}
            study = (
                optuna.load_study(study_name=name, storage=storage, sampler=made, pruner=pruner)
                if name in known
                else optuna.create_study(
                    study_name=name, storage=storage, sampler=made, pruner=pruner, directions=directions
                )
            )
            opened = cls(folder, study, search, space, base, search.trials, epochs, root or str(folder / TRIALS))
            opened._check(folder, {"metric": ", ".join(search.metrics), **_texts(space.record()), **_texts(same)})
            if name not in known and search.recipes:
                for source, point in suggest.first_points(space, base, stages)[: search.trials]:
                    study.enqueue_trial(point, user_attrs={"source": source})
            opened.records()  # so that a damaged one is named before the sweep goes on
            opened._take_stock()
        return opened

    def ask(self) -> Suggestion | None:
        """The next trial; None when `trials` were asked, and none that waits can go on yet."""
        self._halve()
        while self._lost:
            trial = self._lost.pop(0)
            attrs = trial.user_attrs
            if attrs.get(_STOPPED):
                self.study.tell(trial.number, state=TrialState.PRUNED)
                self._over += 1
            elif "overrides" in attrs:
                self._open[trial.number] = optuna.Trial(self.study, trial._trial_id)
                return Suggestion(trial.number, self._record(trial).overrides, attrs["source"], is_again=True)
            else:  # killed between its birth and its first value
                self.study.tell(trial.number, state=TrialState.FAIL)
        return self._new() if len(self._asked) < self._most else None

    @property
    def _is_grid(self) -> bool:
        return suggest.points(self.search.sampler, self.space) is not None

    @property
    def _most(self) -> int:
        """Trials in all: a grid may have fewer points."""
        found = suggest.points(self.search.sampler, self.space)
        return self.trials if found is None else min(self.trials, found)

    def _seed(self, number: int, draw: int) -> int:
        """The sampler's seed for a trial; always the same for a grid, which numbers its points by it."""
        if self._is_grid:
            return self.search.seed
        text = f"{self.search.seed}/{number}/{draw}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def report(self, number: int, epoch: int, metrics: Mapping[str, float], **told: Any) -> bool:
        """Keep the objectives after `epoch` (one-based); True when the trial has fallen behind and is to be stopped.

        Decided from the storage alone, by successive halving (Li et al. 2020), and kept with the trial and what is `told`
        of it: a driver that dies before the trial is stopped has decided.
        """
        values = [float(metrics[metric]) for metric in self.search.metrics]
        if not all(map(math.isfinite, values)):
            return True
        trial = self._open[number]
        frozen = self._frozen(trial)
        best = frozen.user_attrs.get("best")
        if best is None or self._is_better(values[0], best[0]):
            trial.set_user_attr("best", values)
            trial.set_user_attr("best_epoch", epoch)
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
            for key, value in told.items():
                trial.set_user_attr(key, value)
            if is_halving:
                self._wait(trial, epoch)
            else:
                trial.set_user_attr(_STOPPED, True)
        return stop

    def tell(self, number: int, state: str, **told: Any) -> bool:
        """End a trial: complete with the best values so far, pruned, or failed; telling twice changes nothing.

        False when it did not end, but waits at its rung.
        """
        trial = self._open.pop(number, None)
        if trial is None:
            return True
        for key, value in told.items():
            trial.set_user_attr(key, value)
        if state == "pruned" and number in self._waiting:
            return False
        self._over += 1
        best = trial.user_attrs.get("best")
        if state == "complete" and best is not None:
            self.study.tell(number, best)
        elif state == "pruned" and best is not None and len(self.search.metrics) == 1:
            self.study.tell(number, state=TrialState.PRUNED)
        else:
            self.study.tell(number, state=TrialState.FAIL)
        return True

    def records(self) -> list[TrialRecord]:
        """Every trial that was asked, by number."""
        trials = self.study.get_trials(deepcopy=False)
        return [self._record(trial) for trial in trials if "overrides" in trial.user_attrs]

    def record(self, number: int) -> TrialRecord:
        """The trial `number`, which was asked."""
        return self._record(self._by_number(number))

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        """The trial, if what is stored of it could have been asked: a study may come from anywhere.

        Raises:
            RunError: its overrides are no point of the space, or its folder is not one below the trials' root.
        """
        record = _record(trial, self.root)
        fault = self.space.fault(record.overrides, self.base)
        if not fault and Path(record.folder).name in ("..", "."):
            fault = f"folder: found {record.folder!r}; expected a folder below {self.root}"
        if fault:
            raise RunError(
                f"{self.folder}: trial {trial.number}: {fault}. The study was edited or damaged; restore it, or start over "
                "with --new (the old sweep is kept aside)."
            )
        return record

    def counts(self) -> tuple[int, int]:
        """(trials that ended, trials that are left)."""
        return self._over, max(0, self._most - self._over)

    def importances(self) -> dict[str, float]:
        """How much of the objective's variance each dimension explains (fANOVA); empty where too few trials ended."""
        complete = [record for record in self.records() if record.state == "complete"]
        if len(complete) < 4:
            return {}
        with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError, ImportError):
            warnings.simplefilter("ignore")
            target = (lambda trial: trial.values[0]) if len(self.search.metrics) > 1 else None
            return dict(
                optuna.importance.get_param_importances(
                    self.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(), target=target
                )
            )
        return {}

    def pareto(self) -> list[int]:
        """Numbers of the trials that no other beats in every objective."""
        return [trial.number for trial in self.study.best_trials]

    def _take_stock(self) -> None:
        """Count what is there, once: nothing that is asked or told later looks at every trial again."""
        found = self.study.get_trials(deepcopy=False)
        asked = [trial for trial in found if "overrides" in trial.user_attrs]
        running = [trial for trial in found if trial.state == TrialState.RUNNING]
        self._waiting = {trial.number: self._score(trial) for trial in running if trial.user_attrs.get(_RUNG)}
        self._lost = [trial for trial in running if trial.number not in self._waiting]
        self._asked = [trial.number for trial in asked]
        self._seen = {_key(trial.user_attrs["overrides"]) for trial in asked}
        self._born = len(found)
        self._over = sum(trial.state.is_finished() for trial in asked)

    def _is_exempt(self, trial: FrozenTrial) -> bool:
        """True for a head that learns alone where others go deeper: it is at its best at once and costs next to nothing,
        and beside it every deeper trial would look bad in its first epochs."""
        return bool(trial.user_attrs["overrides"].get(_DEPTH) == 0)

    def _is_at_rung(self, trial: optuna.Trial, epoch: int) -> bool:
        """True where `epoch` is a rung at which the trial has not stood yet."""
        stood: int = trial.user_attrs.get(_STOOD, 0)
        return epoch in self._rungs() and epoch > stood

    def _wait(self, trial: optuna.Trial, epoch: int) -> None:
        """Have the trial stand at the rung `epoch` until its cohort is there."""
        trial.set_user_attr(_STOOD, epoch)
        trial.set_user_attr(_RUNG, epoch)
        self._waiting[trial.number] = self._score(self._frozen(trial))

    def _halve(self) -> None:
        """Of each cohort whose trials all stand at a rung, let the best go on and stop the others."""
        if not self._waiting or self._lost:
            return
        size = self.search.reduction ** len(self._rungs())
        closed = len(self._asked) >= self._most
        for cohort in halving.cohorts(self._asked, size, closed):
            on, stopped = halving.verdict(cohort, self._waiting, self._open, self.search.reduction)
            for number in on:
                self._at(number).set_user_attr(_RUNG, 0)
                self._lost.append(self._by_number(number))
            for number in stopped:
                self.study.tell(number, state=TrialState.PRUNED)
                self._over += 1
            for number in (*on, *stopped):
                del self._waiting[number]

    def _rungs(self) -> tuple[int, ...]:
        return halving.rungs(self.search.grace_epochs, self.search.reduction, self.epochs)

    def _score(self, trial: FrozenTrial) -> float:
        """The trial's best value so far; higher is better."""
        best: float = trial.user_attrs["best"][0]
        return -best if lower_is_better(self.search.metrics[0]) else best

    def _at(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self._by_number(number)._trial_id)

    def _new(self) -> Suggestion:
        number = self._born
        for draw in range(_DRAWS):
            self.study.sampler = suggest.sampler(self.search.sampler, self._seed(number, draw), self.space)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self.study.ask()
                overrides = suggest.suggest(trial, self.space, self.base)
            self._born = max(self._born, trial.number + 1)
            if _key(overrides) not in self._seen or draw == _DRAWS - 1 or self._is_grid:
                break
            self.study.tell(trial.number, state=TrialState.FAIL)  # it was tried already: nobody runs it
        source = trial.user_attrs.get("source", "sampler")
        trial.set_user_attr("source", source)
        trial.set_user_attr("overrides", overrides)
        self._asked.append(trial.number)
        self._seen.add(_key(overrides))
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
        found = self.study.user_attrs.get("raytl")
        if found is None:
            self.study.set_user_attr("raytl", dict(wanted))
            return
        keys = sorted({*found, *wanted})
        differ = [
            f"  {key}: {found.get(key, '-')} -> {wanted.get(key, '-')}"
            for key in keys
            if found.get(key) != wanted.get(key)
        ]
        if differ:
            raise RunError(
                f"{folder}: this sweep is another one; what differs (there -> here):\n"
                + "\n".join(differ)
                + "\n  Give this experiment another name, or start over with --new (the old sweep is kept aside)."
            )


def _record(trial: FrozenTrial, root: str) -> TrialRecord:
    """The trial; its folder is below `root`, wherever that was when it was told."""
    told = {key: value for key, value in trial.user_attrs.items() if key in _ATTRIBUTES}
    attrs = ATTRIBUTES_FORMAT.typed(told, f"study.log: trial {trial.number}")
    curve = trial.intermediate_values or {
        int(key.split()[1]): value for key, value in trial.user_attrs.items() if key.startswith("epoch ")
    }
    return TrialRecord(
        number=trial.number,
        state=_STATES[trial.state],
        overrides=attrs.overrides,
        values=None if attrs.best is None or trial.state == TrialState.FAIL else attrs.best,
        best_epoch=attrs.best_epoch,
        curve=tuple(sorted(curve.items())),
        seconds=attrs.seconds,
        trainable=attrs.trainable,
        source=attrs.source,
        reason=attrs.reason,
        features=attrs.features,
        folder=f"{root}/{Path(attrs.folder).name}" if attrs.folder else "",
    )


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _key(overrides: Mapping[str, Any]) -> str:
    return repr(sorted(overrides.items()))
