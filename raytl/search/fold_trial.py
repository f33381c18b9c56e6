"""A trial on folds: a network for each fold, trained an epoch at a time; its score is the mean over the folds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from raytl.metrics.direction import sign
from raytl.search.folds import fold_folder
from raytl.search.protocol import EpochScores, Suggestion, TrialResult
from raytl.search.trial import trial_job
from raytl.search.worker import TrialRun
from raytl.training.job import TrainJob

_SUMMED = "cost/train_seconds"


class FoldRun(Protocol):
    """The training of one fold."""

    def step(self, release: Callable[[], None]) -> TrialResult:
        """Train an epoch and return its result; call `release` if memory is too small, before a retry."""
        ...

    def close(self) -> None:
        """Free its resources; a further `step` resumes from its checkpoint."""
        ...


def trial_run(sweep: TrainJob, suggestion: Suggestion) -> TrialRun | FoldTrial:
    """Return the trial of `sweep`, on its folds if it has some."""
    job = trial_job(sweep, suggestion)
    if not sweep.folds:
        return TrialRun(job)
    jobs = [trial_job(fold, suggestion) for fold in sweep.folds]
    runs = [TrialRun(replace(each, location=fold_folder(each.location, fold))) for fold, each in enumerate(jobs)]
    return FoldTrial(runs, sweep.experiment.search.metrics[0], job.location)


@dataclass
class FoldTrial:
    """A trial whose `runs` train side by side, so that scores at equal epochs compare fairly and bad trials end early.

    After an epoch, the score of a fold is its best so far, as a run keeps its best checkpoint. A fold that ended, because it
    stopped early, keeps its score. `folder` is the location of the trial.

    All folds are in memory until that is too small for one of them: from then on only the fold that trains is, and each
    epoch begins at the checkpoint of the one before.
    """

    runs: Sequence[FoldRun]
    metric: str
    folder: str
    _folds: list[_Fold] = field(default_factory=list)
    _reported: int = 0
    _is_one_at_a_time: bool = False

    def step(self) -> TrialResult:
        """Train one more epoch of each fold and return the result; a fold that fails fails the trial."""
        if not self._folds:
            self._folds = [_Fold() for _ in self.runs]
        epoch = min((fold.epoch for fold in self._folds if not fold.is_over), default=0)
        for number, (run, fold) in enumerate(zip(self.runs, self._folds, strict=True)):
            if not fold.is_over and (fold.last is None or fold.epoch == epoch):
                fold.add(run.step(self._release))
                if fold.result.status == "failed":
                    self.close()
                    return replace(self._result("failed", ()), reason=f"fold {number}: {fold.result.reason}")
                if self._is_one_at_a_time:
                    run.close()
        return self._mean()

    def close(self) -> None:
        """Free the resources of all folds."""
        for run in self.runs:
            run.close()

    def _release(self) -> None:
        """Free the memory of all folds, and hold only one of them from now on."""
        self.close()
        self._is_one_at_a_time = True

    def _mean(self) -> TrialResult:
        going = [fold.epoch for fold in self._folds if not fold.is_over]
        until = min(going) if going else max(fold.epoch for fold in self._folds)
        epochs = range(min(self._reported + 1, until), until + 1)
        self._reported = until
        return self._result("running" if going else "complete", [self._scores(epoch) for epoch in epochs])

    def _scores(self, epoch: int) -> EpochScores:
        """Return the mean over the folds of their best scores until `epoch`."""
        best = [fold.best(epoch, self.metric) for fold in self._folds]
        return EpochScores(epoch, mean_of(best))

    def _result(self, status: str, scores: Sequence[EpochScores]) -> TrialResult:
        results = [fold.last for fold in self._folds if fold.last is not None]
        *earlier, last = scores or [EpochScores(self._reported)]
        return TrialResult(
            status=status,  # type: ignore[arg-type]
            last=last,
            earlier=tuple(earlier),
            seconds=sum(result.seconds for result in results),
            trainable=max(result.trainable for result in results),
            features=results[0].features,
            folder=self.folder,
            oom_retries=sum(result.oom_retries for result in results),
        )


@dataclass
class _Fold:
    """The reports of a fold: its scores by epoch, and its last result."""

    curve: dict[int, Mapping[str, float]] = field(default_factory=dict)
    last: TrialResult | None = None

    @property
    def result(self) -> TrialResult:
        """Its last result."""
        assert self.last is not None
        return self.last

    @property
    def epoch(self) -> int:
        """The epoch until which it has trained."""
        return self.last.last.epoch if self.last else 0

    @property
    def is_over(self) -> bool:
        """True if it trains no more."""
        return self.last is not None and self.last.is_last

    def add(self, result: TrialResult) -> None:
        """Keep a result."""
        self.last = result
        self.curve |= {scores.epoch: scores.metrics for scores in result.epochs}

    def best(self, epoch: int, metric: str) -> Mapping[str, float]:
        """Return the scores of its best epoch until `epoch`, with the cost until then."""
        trained = {number: scores for number, scores in self.curve.items() if number <= epoch}
        best = max(trained.values(), key=lambda scores: _rank(sign(metric) * scores[metric]))
        return {**best, _SUMMED: trained[max(trained)][_SUMMED]}


def _rank(score: float) -> float:
    """Return a score by which an undefined one is the worst."""
    return -math.inf if math.isnan(score) else score


def mean_of(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that all folds have; of seconds, the sum."""
    names = [name for name in folds[0] if all(name in scores for scores in folds)]
    mean = {name: statistics.fmean(scores[name] for scores in folds) for name in names}
    return mean | {_SUMMED: sum(scores[_SUMMED] for scores in folds)}
