"""The job of a trial, from that of its sweep."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.data.bit_depth import BitDepth
from raytl.search.protocol import Suggestion
from raytl.search.trial import refit_epochs_of, trial_job, winner_experiment
from raytl.training.job import TrainJob


def test_all_trials_read_images_by_the_sweeps_bit_depth() -> None:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}})
    sweep = TrainJob(experiment, "trials", (), (), ("a", "b"), bit_depth=BitDepth(12))
    assert trial_job(sweep, Suggestion(0, {})).bit_depth == BitDepth(12)


def test_a_trial_has_its_overrides_its_seed_and_a_location_below_the_sweep() -> None:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}})
    sweep = TrainJob(experiment, "s3://bucket/x/trials", (), (), ("a", "b"), feature_seed=7)
    suggestion = Suggestion(3, {"transfer.unfreeze": 1}, seed=5)
    trial = trial_job(sweep, suggestion)
    assert trial.location == f"s3://bucket/x/trials/{suggestion.folder}"
    assert (trial.experiment.transfer.unfreeze, trial.experiment.train.seed) == (1, 5)
    assert (trial.is_guest, trial.feature_seed) == (True, 7), "all trials read the same views"
    assert suggestion.folder.startswith("trial-00003-seed-5-")


@pytest.mark.parametrize(
    ("search", "of_trials", "of_the_winner"),
    [
        ({}, 30, 30),
        ({"budget": {"max_epochs": 8}}, 8, 30),
        ({"budget": {"max_epochs": 40}}, 40, 40),
        ({"budget": {"max_epochs": 8}, "refit_epochs": 8}, 8, 8),
        ({"refit_epochs": 50}, 30, 50),
    ],
)
def test_the_winner_trains_as_long_as_the_experiment_and_its_trials_within_the_budget(
    search: dict[str, Any], of_trials: int, of_the_winner: int
) -> None:
    keys = {"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}, "train": {"epochs": 30}}
    experiment = Experiment.model_validate({**keys, "search": search})
    trial = trial_job(TrainJob(experiment, "trials", (), (), ("a", "b")), Suggestion(0, {}))
    assert trial.experiment.train.epochs == of_trials
    assert refit_epochs_of(experiment) == of_the_winner
    assert winner_experiment(experiment, {}, "winner").train.epochs == of_the_winner


def test_a_trial_with_another_label_method_solves_a_head_of_its_own() -> None:
    keys = {"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}, "adapt": {"target": "others"}}
    space = {"adapt.method": {"choice": ["none", "centroids"]}}
    experiment = Experiment.model_validate({**keys, "search": {"space": space}})
    sweep = TrainJob(experiment, "trials", (), (), ("a", "b"), probe="head")
    probes = [trial_job(sweep, Suggestion(0, {"adapt.method": method})).probe for method in ("none", "centroids")]
    assert probes == ["head", ""]
