"""The payload of training workers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config.schema import Experiment
from raytl.data.bit_depth import SIXTEEN_BITS
from raytl.data.manifest import Sample
from raytl.data.sample_file import INLINE
from raytl.registry.registry import Registry
from raytl.run.run_store import RunStore
from raytl.search.inputs import sweep_job
from raytl.store.lease import WriteToken
from raytl.training import driver
from raytl.training.job import TrainJob
from tests.registry.conftest import about


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


def test_an_alias_that_moves_while_trials_run_changes_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_REGISTRY", str(tmp_path / "models"))
    registry = Registry.open(str(tmp_path / "models" / "trash"))
    folder = tmp_path / "made"
    (folder / "checkpoints" / "best").mkdir(parents=True)
    (folder / "checkpoints" / "best" / "model.safetensors").write_text("weights")
    for _ in range(2):
        registry.publish(folder, about())
    registry.move({"champion": 1}, registry.state(), "me", "why")
    model = {"name": "test_resnet", "weights": "models:trash@champion"}
    given = job(str(tmp_path))
    given = replace(given, experiment=Experiment(name="x", data="photos", model=model))  # type: ignore[arg-type]
    fixed = given.with_fixed_weights()
    registry.move({"champion": 2}, registry.state(), "me", "why")
    assert fixed.experiment.model.weights == f"models:{tmp_path}/models/trash@1"
    assert given.with_fixed_weights().experiment.model.weights.endswith("@2")
    assert job(str(tmp_path)).with_fixed_weights() == job(str(tmp_path))


def test_runs_and_sweeps_fix_the_weights_of_their_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainJob, "with_fixed_weights", lambda self: replace(self, probe="fixed"))
    splits = SimpleNamespace(train=(), val=(), classes=())
    plan: Any = SimpleNamespace(
        experiment=job(str(tmp_path)).experiment,
        dataset=SimpleNamespace(splits=splits, depth=SimpleNamespace(depth=SIXTEEN_BITS)),
        sources=SimpleNamespace(samples={}),
        changes={},
    )
    inputs: Any = SimpleNamespace(experiment=plan.experiment, trials=None, plan=plan)
    assert driver._job(RunStore(str(tmp_path / "run")), plan).probe == "fixed"
    assert sweep_job(inputs).probe == "fixed"
