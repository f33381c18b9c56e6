"""A run in a bucket: train, resume, evaluate and use it from any machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.errors import RunError
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.evaluation.record import recorded
from raytl.evaluation.worker import Shard, score_shard
from raytl.events import Event, Recorder, Resumed, Step, ignore
from raytl.models.saved_model import read_card
from raytl.run import journal
from raytl.run.run_store import RunStore
from raytl.store import s3
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings
from raytl.training.driver import TrainResult, train
from raytl.world import World
from tests.conftest import S3, SWIFT, write_photos
from tests.servers.swift import SECRET
from tests.training.conftest import Interrupt, MakeExperiment, toy

CANARY = "canary-secret-0123456789"
SHORT = {"train.epochs": 1, "transfer.head_first": 0}


@dataclass(frozen=True)
class Place:
    """A store of one kind: a URI that is no folder, and the environment in which it is found."""

    uri: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Stored:
    """A run that was trained into a store, and the cache of the machine that did it; not to be written to."""

    experiment: Experiment
    result: TrainResult
    cache: Path


@contextmanager
def on_a_machine(cache: Path, environment: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RAYTL_CACHE": str(cache), **environment}.items():
            patch.setenv(name, value)
        s3.forget_client()
        yield
    s3.forget_client()


@pytest.fixture(
    scope="module",
    params=["memory", pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3"), SWIFT],
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store of each kind."""
    folder = tmp_path_factory.mktemp("place")
    if request.param == "memory":
        return Place(f"memory://{folder}", {})
    if request.param == S3.values[0]:  # any secret will do there
        outcome = {"AWS_ENDPOINT_URL": request.getfixturevalue("s3_server"), "AWS_SECRET_ACCESS_KEY": CANARY}
    else:
        outcome = request.getfixturevalue("swift_server").environment
    with on_a_machine(folder, outcome):
        s3.client().create_bucket(Bucket="trained-here")
    return Place("s3://trained-here", outcome)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A run that was trained into a folder; not to be written to."""
    root = tmp_path_factory.mktemp("whole")
    experiment = toy(write_photos(root / "photos", 16), root / "runs")
    with on_a_machine(root / "cache", {}):
        train(experiment)
    return experiment


@pytest.fixture(scope="module")
def stored(whole: Experiment, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The same, trained into a store."""
    experiment, cache = override(whole, {"storage.uri": f"{place.uri}/runs"}), tmp_path_factory.mktemp("machine")
    with on_a_machine(cache, place.environment):
        return Stored(experiment, train(experiment), cache)


@pytest.fixture
def storage(place: Place, own_cache: Path, tmp_path: Path) -> Iterator[str]:
    """A `storage.uri` of the test's own in the store of each kind, found from a machine of the test's own."""
    with on_a_machine(own_cache, place.environment):
        yield f"{place.uri}/{tmp_path.name}"


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str) -> Any:
    """Go on as on another machine: what this one's cache holds is not there."""
    return lambda name: monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "machines" / name))


@pytest.fixture
def copied(stored: Stored, storage: str) -> Experiment:
    """A copy of the stored run, to be written to."""
    experiment = override(stored.experiment, {"storage.uri": storage})
    source, target = open_store(stored.result.run), open_store(RunStore.of(experiment).uri)
    for info in source.list():
        target.put_bytes(info.key, source.get_bytes(info.key))
    return experiment


def weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    return load_file(RunStore.of(experiment).folder.best / "model.safetensors")


def scores(experiment: Experiment) -> list[tuple[float, float]]:
    return [(row["train/loss"], row["val/accuracy"]) for row in journal.read(RunStore.of(experiment).folder.metrics)]


@pytest.mark.usefixtures("storage")
def test_a_run_in_a_bucket_is_the_run_in_a_folder(whole: Experiment, stored: Stored) -> None:
    here, there = whole, stored.experiment
    assert (stored.result.run, stored.result.status) == (f"{there.storage.uri}/toy", "trained")
    assert train(there).status == "already finished"
    assert scores(there) == scores(here)
    one, other = weights(here), weights(there)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert RunStore.of(there).folder.verify() == []


def test_a_run_goes_on_to_the_same_bits_on_another_machine(whole: Experiment, storage: str, move: Any) -> None:
    broken = override(whole, {"storage.uri": storage})
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
    copied: Experiment, move: Any, tmp_path: Path
) -> None:
    run = RunStore.of(copied).uri
    outcome = evaluate(run, resamples=20)
    assert open_store(run).exists("evaluation/test/report.md")
    move("third")
    again = evaluate(run, resamples=20)
    assert (again.look, again.metrics) == (1, outcome.metrics)
    photos = sorted(Path(copied.data.uri).rglob("*.jpg"))[:4]
    predicted = predict(run, photos, out=tmp_path / "p.csv")
    assert len(predicted.predicted) == 4
    assert outcome.images > 0


def test_a_worker_on_another_machine_finds_the_model_and_the_images_of_a_run_in_a_bucket(
    stored: Stored, move: Any
) -> None:
    run_store = RunStore.of(stored.experiment)
    run_store.fetch()
    card = read_card(run_store.folder.best)
    shard = Shard(
        model_folder=str(run_store.folder.best),
        samples=recorded(run_store.folder, "test"),
        classes=card.classes,
        device="cpu",
        precision="fp32",
        max_pixels=10**6,
        digest=card.digest,
        run=run_store.uri,
        data=stored.experiment.data.uri,
        s3=S3Settings.of(stored.experiment.storage),
    )
    here = score_shard(World.solo(), shard, ignore)
    move("another")
    shutil.rmtree(run_store.folder.root)
    there = score_shard(World.solo(), shard, ignore)
    assert len(here) == len(there) > 0
    assert all(np.array_equal(one, other) for one, other in zip(here, there, strict=True))


def test_a_second_run_to_the_same_place_is_refused(whole: Experiment, storage: str, tmp_path: Path) -> None:
    experiment = override(whole, {"storage.uri": storage})
    said = r"another raytl(?s:.*)Wait for it, stop it, or give this experiment another name"

    def second(event: Event) -> None:
        if isinstance(event, Step):
            run_store = RunStore.of(experiment)
            other = RunStore(run_store.uri)
            other.folder = type(run_store.folder)(tmp_path / "elsewhere")
            with pytest.raises(RunError, match=said), other.owned():
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(experiment, on_event=second)


def test_new_keeps_the_run_before_it_aside(copied: Experiment, move: Any) -> None:
    other = override(copied, {"optim.lr": 0.01, **SHORT})
    with pytest.raises(RunError, match=r"optim\.lr"):
        train(other)
    result = train(other, new=True)
    assert result.status == "trained"
    move("another")
    aside = RunStore.open(f"{result.run}.old-1")
    assert aside.folder.verify() == []
    assert RunStore.open(result.run).folder.verify() == []


def test_a_run_that_is_not_there_is_said_so(storage: str) -> None:
    with pytest.raises(RunError, match="not a run, experiment.yaml is missing"):
        evaluate(f"{storage}/none")


def test_no_secret_is_written_anywhere(
    stored: Stored, copied: Experiment, storage: str, tmp_path: Path, own_cache: Path
) -> None:
    evaluate(RunStore.of(copied).uri, resamples=20)
    with pytest.raises(RunError, match="not a run, experiment.yaml is missing") as caught:
        evaluate(f"{storage}/none")
    copy = tmp_path / "copy"
    store = open_store(storage)
    for info in store.list():
        store.get_to_file(info.key, copy / info.key, info.size)
    files = [path for root in (copy, own_cache, stored.cache) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in (CANARY, SECRET):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        assert secret not in str(caught.value)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("there", [S3, SWIFT])
def test_two_ray_workers_train_into_a_bucket(
    make_experiment: MakeExperiment,
    there: str,
    request: pytest.FixtureRequest,
    own_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "storage.uri": f"s3://{request.getfixturevalue(there)}/runs", "compute.cluster": "local", "compute.workers": 2,
        "compute.cpus_per_worker": 1,
    }  # fmt: skip
    experiment = make_experiment(changes)
    run = train(experiment).run
    shutil.rmtree(own_cache)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another"))
    assert evaluate(run, resamples=20).images > 0
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("lease", "upload")]
