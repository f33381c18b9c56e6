"""The payload of training workers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from raytl.config.schema import Experiment
from raytl.data.manifest import Sample
from raytl.data.sample_file import INLINE
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


def test_workers_of_a_cluster_read_a_large_split_from_a_file_that_is_removed_at_the_end(tmp_path: Path) -> None:
    train = tuple(Sample(f"{i}.jpg", f"/photos/{i}.jpg", "red", "train") for i in range(INLINE + 1))
    received = pickle.loads(pickle.dumps(sent := _on(job(str(tmp_path)), train, "local").sharing_samples()))
    assert len(pickle.dumps(sent)) < 20_000
    assert received.train[:: INLINE // 10] == train[:: INLINE // 10]
    assert received.val == sent.val
    assert received.audited == sent.audited != job(str(tmp_path)).audited
    sent.discard_samples()
    assert list(tmp_path.iterdir()) == []
    alone = _on(sent, train, "none").sharing_samples()
    assert alone.train is train


def _on(job: TrainJob, train: tuple[Sample, ...], cluster: str) -> TrainJob:
    compute = job.experiment.compute.model_copy(update={"cluster": cluster})
    return replace(job, train=train, experiment=job.experiment.model_copy(update={"compute": compute}))
