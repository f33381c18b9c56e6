"""A run that is kept in a bucket: trained, gone on with, scored and used from any machine."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import RunError, TestLockedError
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.evaluation.record import recorded
from raytl.evaluation.worker import Shard, score_shard
from raytl.events import Event, Recorder, Resumed, Step, ignore
from raytl.models.bundle import read_card
from raytl.run import journal
from raytl.run.home import Home
from raytl.store.open import open_store
from raytl.training.driver import train
from raytl.world import World
from tests.conftest import S3, SWIFT
from tests.servers.swift import SECRET
from tests.training.conftest import Interrupt, MakeExperiment

CANARY = "canary-secret-0123456789"


@pytest.fixture(params=["memory", S3, SWIFT])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A `storage.uri` that is no folder."""
    if request.param == "memory":
        return f"memory://{tmp_path}"
    bucket = request.getfixturevalue(request.param)
    if request.param == "bucket":  # any secret will do there
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    return f"s3://{bucket}/runs"


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Go on as on another machine: what this one's cache holds is not there."""
    return lambda name: monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "machines" / name))


def weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    return load_file(Home.of(experiment).folder.best / "model.safetensors")


def scores(experiment: Experiment) -> list[tuple[float, float]]:
    return [(row["train/loss"], row["val/accuracy"]) for row in journal.read(Home.of(experiment).folder.metrics)]


def test_a_run_in_a_bucket_is_the_run_in_a_folder(make_experiment: MakeExperiment, storage: str, move: Any) -> None:
    here = make_experiment()
    there = override(here, {"storage.uri": storage})
    train(here)
    result = train(there)
    assert (result.run, result.status) == (f"{storage}/toy", "trained")
    assert scores(there) == scores(here)
    move("another")
    assert train(there).status == "already finished"
    one, other = weights(here), weights(there)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert Home.of(there).folder.verify() == []


def test_a_run_goes_on_to_the_same_bits_on_another_machine(
    make_experiment: MakeExperiment, storage: str, move: Any
) -> None:
    whole = make_experiment()
    broken = override(whole, {"storage.uri": storage})
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, on_event=Interrupt(2, 3))
    move("another")
    watcher = Recorder()
    assert train(broken, on_event=watcher).status == "resumed"
    assert [event.epoch for event in watcher.events if isinstance(event, Resumed)] == [2]
    assert scores(broken) == scores(whole)
    one, other = weights(whole), weights(broken)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_scores_and_predictions_come_from_the_bucket_and_the_look_at_the_test_stays_there(
    make_experiment: MakeExperiment, storage: str, move: Any, tmp_path: Path
) -> None:
    experiment = make_experiment({"storage.uri": storage})
    run = train(experiment).run
    move("second")
    found = evaluate(run, resamples=20)
    assert open_store(run).exists("evaluation/test/report.md")
    move("third")
    with pytest.raises(TestLockedError, match="looked at once already"):
        evaluate(run, resamples=20)
    photos = sorted(Path(experiment.data.uri).rglob("*.jpg"))[:4]
    predicted = predict(run, photos, out=tmp_path / "p.csv")
    assert len(predicted.predicted) == 4
    assert found.images > 0


def test_a_worker_on_another_machine_finds_the_model_and_the_images_of_a_run_in_a_bucket(
    make_experiment: MakeExperiment, storage: str, move: Any, tmp_path: Path
) -> None:
    experiment = make_experiment({"storage.uri": storage})
    train(experiment)
    home = Home.of(experiment)
    shard = Shard(
        bundle=str(home.folder.best),
        samples=recorded(home.folder, "test"),
        device="cpu",
        precision="fp32",
        max_pixels=10**6,
        digest=read_card(home.folder.best).digest,
        run=home.uri,
        data=experiment.data.uri,
        storage=experiment.storage,
    )
    here = score_shard(World.solo(), shard, ignore)
    move("another")
    shutil.rmtree(home.folder.root)
    there = score_shard(World.solo(), shard, ignore)
    assert (here.probabilities == there.probabilities).all()


def test_a_second_run_to_the_same_place_is_refused(
    make_experiment: MakeExperiment, storage: str, move: Any, tmp_path: Path
) -> None:
    experiment = make_experiment({"storage.uri": storage})
    refused: list[str] = []

    def second(event: Event) -> None:
        if isinstance(event, Step) and not refused:
            home = Home.of(experiment)
            other = Home(home.uri)
            other.folder = type(home.folder)(tmp_path / "elsewhere")
            with pytest.raises(RunError, match="another raytl") as caught, other.owned():
                pass
            refused.append(str(caught.value))

    train(experiment, on_event=second)
    assert "Wait for it, stop it, or give this experiment another name" in refused[0]


def test_new_keeps_the_run_before_it_aside(make_experiment: MakeExperiment, storage: str, move: Any) -> None:
    experiment = make_experiment({"storage.uri": storage})
    train(experiment)
    other = override(experiment, {"optim.lr": 0.01})
    with pytest.raises(RunError, match=r"optim\.lr"):
        train(other)
    assert train(other, new=True).status == "trained"
    move("another")
    aside = Home.open(f"{storage}/toy.old-1")
    assert aside.folder.verify() == []
    assert Home.open(f"{storage}/toy").folder.verify() == []


def test_a_run_that_is_not_there_is_said_so(storage: str) -> None:
    with pytest.raises(RunError, match="no run is there"):
        evaluate(f"{storage}/none")


def test_no_secret_is_written_anywhere(
    make_experiment: MakeExperiment, storage: str, tmp_path: Path, own_cache: Path
) -> None:
    experiment = make_experiment({"storage.uri": storage})
    evaluate(train(experiment).run, resamples=20)
    with pytest.raises(RunError, match="no run is there") as caught:
        evaluate(f"{storage}/none")
    copy = tmp_path / "copy"
    store = open_store(storage)
    for info in store.list():
        store.get_to_file(info.key, copy / info.key)
    files = [path for root in (copy, own_cache) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in (CANARY, SECRET):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert secret not in str(caught.value)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("there", [S3, SWIFT])
def test_two_ray_workers_train_into_a_bucket(
    make_experiment: MakeExperiment, there: str, request: pytest.FixtureRequest, move: Any, own_cache: Path
) -> None:
    changes = {
        "storage.uri": f"s3://{request.getfixturevalue(there)}/runs", "compute.cluster": "local", "compute.workers": 2,
        "compute.cpus_per_worker": 1,
    }  # fmt: skip
    experiment = make_experiment(changes)
    run = train(experiment).run
    shutil.rmtree(own_cache)
    move("another")
    assert evaluate(run, resamples=20).images > 0
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("lease", "upload")]
