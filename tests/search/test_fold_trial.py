"""A trial on folds: its epochs, its score, its failures."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from raytl.metrics.direction import lower_is_better
from raytl.search.fold_trial import FoldTrial
from raytl.search.protocol import EpochScores, TrialResult

METRIC = "val/accuracy"


class Scripted:
    """A fold that reports these scores, one an epoch; `done` of them were trained by a process that was killed."""

    def __init__(
        self, *scores: float, total: int | None = None, done: int = 0, fails_at: int = 0, metric: str = METRIC
    ) -> None:
        self.scores, self.total, self.done = scores, total or len(scores), done
        self.fails_at, self.metric, self.steps, self.is_open = fails_at, metric, 0, True
        self.too_large_at, self.others, self.alone = 0, tuple[Scripted, ...](), False

    def at(self, epoch: int) -> EpochScores:
        return EpochScores(epoch, {self.metric: self.scores[epoch - 1], "cost/train_seconds": 10.0 * epoch})

    def step(self, release: Callable[[], None]) -> TrialResult:
        self.steps += 1
        if self.steps == self.too_large_at:
            release()
            assert not any(other.is_open for other in self.others), "memory is still in use"
        self.is_open = True
        assert not self.alone or not any(other.is_open for other in self.others)
        epoch = self.done + self.steps
        if epoch == self.fails_at:
            return TrialResult("failed", EpochScores(epoch - 1), reason="a bug", trainable=7)
        earlier = tuple(self.at(each) for each in range(1, self.done + 1)) if self.steps == 1 else ()
        status = "complete" if epoch == self.total else "running"
        return TrialResult(status, self.at(epoch), earlier, seconds=10.0 * epoch, trainable=7, folder="f")

    def close(self) -> None:
        self.is_open = False


def curve(trial: FoldTrial) -> list[tuple[int, float]]:
    """Run the trial to its end and return (epoch, score) as they were reported."""
    reported: list[tuple[int, float]] = []
    while True:
        result = trial.step()
        reported += [(each.epoch, round(each.metrics[trial.metric], 6)) for each in result.epochs]
        if result.is_last:
            return reported


def test_the_score_after_an_epoch_is_the_mean_of_the_best_of_each_fold() -> None:
    trial = FoldTrial([Scripted(0.5, 0.7, 0.6), Scripted(0.9, 0.8, 1.0)], METRIC, "trial")
    assert curve(trial) == [(1, 0.7), (2, 0.8), (3, 0.85)]


def test_losses_are_best_when_lowest() -> None:
    assert lower_is_better("val/log_loss")
    folds = [Scripted(0.5, 0.7, metric="val/log_loss"), Scripted(0.9, 0.7, metric="val/log_loss")]
    assert curve(FoldTrial(folds, "val/log_loss", "trial")) == [(1, 0.7), (2, 0.6)]


def test_a_fold_that_stops_early_keeps_its_score() -> None:
    trial = FoldTrial([Scripted(0.5, 0.4), Scripted(0.7, 0.8, 0.9)], METRIC, "trial")
    assert curve(trial) == [(1, 0.6), (2, 0.65), (3, 0.7)]


def test_costs_are_summed_over_the_folds() -> None:
    trial = FoldTrial([Scripted(0.5, 0.7), Scripted(0.9, 0.8)], METRIC, "trial")
    first, second = trial.step(), trial.step()
    assert (first.seconds, second.seconds, second.trainable, second.folder) == (20.0, 40.0, 7, "trial")
    assert [each.last.metrics["cost/train_seconds"] for each in (first, second)] == [20.0, 40.0]


def test_a_fold_that_fails_fails_the_trial_and_closes_the_others() -> None:
    folds = [Scripted(0.5, 0.7), Scripted(0.5, 0.7, fails_at=2)]
    trial = FoldTrial(folds, METRIC, "trial")
    assert trial.step().status == "running"
    failed = trial.step()
    assert (failed.status, failed.reason, failed.last.epoch) == ("failed", "fold 1: a bug", 1)
    assert not any(fold.is_open for fold in folds)
    assert FoldTrial([Scripted(0.5, fails_at=1)], METRIC, "trial").step().status == "failed"


@pytest.mark.parametrize("done", [(2, 2), (2, 1), (2, 0)])
def test_a_killed_trial_resumes_with_folds_at_different_epochs(done: tuple[int, int]) -> None:
    scores = ((0.5, 0.7, 0.6, 0.8), (0.9, 0.8, 1.0, 0.9))
    undisturbed = curve(FoldTrial([Scripted(*each) for each in scores], METRIC, "trial"))
    folds = [Scripted(*each, done=count) for each, count in zip(scores, done, strict=True)]
    resumed = curve(FoldTrial(folds, METRIC, "trial"))
    assert resumed == undisturbed
    assert [fold.steps for fold in folds] == [4 - count for count in done], "no epoch is trained twice"


def test_an_undefined_score_is_the_worst_of_its_fold() -> None:
    trial = FoldTrial([Scripted(0.5, math.nan, 0.6), Scripted(0.9, 0.8, 1.0)], METRIC, "trial")
    assert curve(trial) == [(1, 0.7), (2, 0.7), (3, 0.8)]


def test_too_little_memory_for_a_fold_frees_all_of_them_and_then_one_at_a_time_is_in_memory() -> None:
    folds = [Scripted(0.5, 0.7, 0.6), Scripted(0.9, 0.8, 1.0), Scripted(0.4, 0.3, 0.4)]
    for fold in folds:
        fold.others = tuple(other for other in folds if other is not fold)
    folds[1].too_large_at = 2
    trial = FoldTrial(folds, METRIC, "trial")
    assert not trial.step().is_last and all(fold.is_open for fold in folds)
    trial.step()
    assert not any(fold.is_open for fold in folds)
    for fold in folds:
        fold.alone = True
    assert trial.step().last.metrics[METRIC] == pytest.approx((0.7 + 1.0 + 0.4) / 3)
