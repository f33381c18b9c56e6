"""The payload of training workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.store.lease import WriteToken
from raytl.training.job import TrainJob


def job(location: str) -> TrainJob:
    experiment = Experiment.model_validate({"name": "x", "data": {"uri": "photos"}, "model": {"name": "test_resnet"}})
    labels = ("red", "blue", "red")
    samples = tuple(Sample(f"{i}.jpg", f"{i}.jpg", label) for i, label in enumerate(labels))
    return TrainJob(experiment, location, samples, samples[:1], ("blue", "green", "red"))


@pytest.mark.parametrize("is_guest", [False, True])
def test_guests_have_a_working_copy_of_their_own(is_guest: bool, tmp_path: Path) -> None:
    uri = f"memory://{tmp_path}/x"
    driver = job(uri).run_store().folder.root
    worker = replace(job(uri), write_token=WriteToken(uri, "token", 1), is_guest=is_guest).run_store().folder.root
    assert (worker != driver) == is_guest
