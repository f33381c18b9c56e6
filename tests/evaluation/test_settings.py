"""Each call reaches buckets as its own settings say, on a real S3 server that only those settings name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytl.config.machine import Machine
from raytl.config.override import override
from raytl.config.schema import ComputeConfig, Experiment, StorageConfig
from raytl.evaluation.evaluate import evaluate
from raytl.evaluation.predict import predict
from raytl.training.driver import TrainResult, train
from tests.conftest import write_photos
from tests.store.conftest import fill
from tests.store.proxy import Proxy, proxied
from tests.training.conftest import toy

BUCKET = "reached-by-settings"
pytestmark = pytest.mark.s3


@pytest.fixture
def ways(s3_server: str) -> Iterator[tuple[Proxy, Proxy]]:
    """Two ways to one store, each of which counts its requests; the environment names neither."""
    with proxied(s3_server) as first, proxied(s3_server) as second:
        yield first, second


@pytest.fixture(scope="module")
def photos(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in a folder, and in the bucket below data/."""
    folder = write_photos(tmp_path_factory.mktemp("photos"), 16)
    files = {f"data/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.jpg")}
    fill(s3_server, BUCKET, files)
    return folder


def trained(way: Proxy, name: str, **changes: object) -> tuple[Experiment, TrainResult]:
    """A run that is trained in the bucket, by an experiment that names the endpoint; `changes` by section."""
    base = toy(Path("unused"), Path("unused"))
    places = {"data.uri": f"s3://{BUCKET}/data", "storage.uri": f"s3://{BUCKET}/runs", "storage.endpoint_url": way.url}
    experiment = override(base, {"name": name, "train.epochs": 1, "transfer.head_first": 0, **places, **changes})
    return experiment, train(experiment)


@pytest.mark.usefixtures("photos")
def test_a_call_does_not_decide_how_the_next_one_connects(
    ways: tuple[Proxy, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ways
    _, result = trained(first, "next-call")
    first.requests.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", second.url)
    found = predict(result.run, f"s3://{BUCKET}/data/red/000.jpg")
    evaluate(result.run, resamples=20)
    assert (len(found.paths), first.requests.total()) == (1, 0)
    assert second.requests


@pytest.mark.usefixtures("photos")
def test_two_machines_take_turns_in_one_process(ways: tuple[Proxy, Proxy]) -> None:
    first, second = ways
    _, result = trained(first, "turns")
    photo = f"s3://{BUCKET}/data/red/000.jpg"
    for used, idle in ((second, first), (first, second), (second, first)):
        idle.requests.clear()
        machine = Machine(storage=StorageConfig(endpoint_url=used.url))
        assert len(predict(result.run, photo, machine=machine).paths) == 1
        assert (idle.requests.total(), used.requests.total() > 0) == (0, True)
    evaluated = evaluate(result.run, resamples=20, machine=machine)
    assert evaluated.subject.split == "test"


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
@pytest.mark.thorough
def test_a_fresh_process_reaches_a_run_by_the_endpoint_that_an_option_names(s3_server: str, tmp_path: Path) -> None:
    with proxied(s3_server) as way:
        _, result = trained(way, "fresh")
        assert result.next == f"raytl evaluate {result.run} --endpoint-url {way.url}"
        environment = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}
        environment["RAYTL_CACHE"] = str(tmp_path / "another-machine")

        def raytl(*words: str) -> dict[str, object]:
            command = [sys.executable, "-m", "raytl", *words, "--endpoint-url", way.url, "--json"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
            assert done.returncode == 0, done.stderr
            found: dict[str, object] = json.loads(done.stdout)
            return found

        assert raytl("evaluate", result.run)["split"] == "test"
        assert raytl("predict", result.run, f"s3://{BUCKET}/data/red")["photos"] == 16


@pytest.mark.ray
@pytest.mark.thorough
@pytest.mark.usefixtures("photos")
def test_workers_and_their_loaders_reach_the_endpoint_that_only_the_experiment_names(ways: tuple[Proxy, Proxy]) -> None:
    used, idle = ways
    compute = {"compute.cluster": "local", "compute.workers": 2, "compute.cpus_per_worker": 1}
    streamed = {"data.stream": True, "data.loader_workers": 1}
    _, result = trained(used, "workers", **compute, **streamed)
    assert result.status == "trained"
    machine = Machine(storage=StorageConfig(endpoint_url=idle.url), compute=ComputeConfig(cluster="local"))
    used.requests.clear()
    evaluate(result.run, resamples=20, workers=2, machine=machine)
    assert (used.requests.total(), idle.requests.total() > 0) == (0, True)
