"""The trial protocol."""

from __future__ import annotations

from copy import deepcopy

from raytl.search.protocol import EpochScores, Suggestion, TrialResult

FIRST, SECOND = EpochScores(1, {"val/accuracy": 0.5}), EpochScores(2, {"val/accuracy": 0.6})


def test_a_result_reports_earlier_epochs_before_its_last() -> None:
    assert TrialResult("running", SECOND, (FIRST,)).epochs == (FIRST, SECOND)


def test_a_failed_trial_reports_no_epoch_without_metrics() -> None:
    assert TrialResult("failed", EpochScores(2), (FIRST,)).epochs == (FIRST,)


def test_only_a_running_trial_has_another_result() -> None:
    assert [TrialResult(status).is_last for status in ("running", "complete", "failed")] == [False, True, True]


def test_the_folder_of_a_trial_depends_on_its_values_and_seed_alone() -> None:
    one = Suggestion(3, {"optim.lr": 0.1, "transfer.unfreeze": 2})
    same = Suggestion(3, {"transfer.unfreeze": 2, "optim.lr": 0.1}, source="recipe: last stage")
    replicate = Suggestion(3, one.overrides, seed=1)
    assert one.folder == same.folder == deepcopy(one).folder
    assert one.folder.startswith("trial-00003-")
    assert replicate.folder.startswith("trial-00003-seed-1-")
