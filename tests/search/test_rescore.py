"""The score of a trial's checkpoint is measured as the trial measured it."""

from __future__ import annotations

import pytest

from raytl.search.record import TrialRecord
from raytl.search.rescore import rescore
from raytl.search.summary import sweep_root
from tests.search.conftest import Finished
from tests.search.test_noise import job_of


@pytest.mark.thorough
def test_the_temperature_to_expect_is_that_of_the_label_smoothing_of_the_trial(finished: Finished) -> None:
    sweep = job_of(finished.experiment)
    folder = next(sweep_root(finished.experiment).glob("trials/trial-*/checkpoints/best")).parents[1]
    losses = [
        rescore(TrialRecord(0, "complete", overrides, (0.5,), folder=str(folder)), sweep, "val/log_loss")
        for overrides in ({}, {"train.label_smoothing": 0.0}, {"train.label_smoothing": 0.1})
    ]
    assert losses[0] == losses[1] != pytest.approx(losses[2], rel=1e-6)
