"""A sweep in a bucket on two Ray nodes that share no folder, with a driver that is killed and resumed elsewhere."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raytl.config.dump import to_yaml
from raytl.config.override import override
from raytl.config.places import sweep_uri
from raytl.config.schema import Experiment
from raytl.evaluation.evaluate import evaluate
from raytl.events import Event, TrialChanged
from raytl.run.mirror import WHOLE
from raytl.search.driver import tune
from raytl.search.summary import SweepResult, sweep_root
from raytl.store.open import open_store

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.thorough, pytest.mark.timeout(600)]
KILLED_AT = (1, 1)
"""Trial and epoch."""


@dataclass(frozen=True)
class Machines:
    """A cluster of two nodes with one CPU each, and the cache of each."""

    address: str
    caches: tuple[Path, Path]


@pytest.fixture
def machines(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_LD_PRELOAD_ON_WORKERS", "1")
    from ray.cluster_utils import Cluster

    caches = (tmp_path / "machine 1", tmp_path / "machine 2")
    cluster = Cluster()
    try:
        for cache in caches:
            cluster.add_node(num_cpus=1, object_store_memory=10**8, env_vars={"RAYTL_CACHE": str(cache)})
        yield Machines(cluster.address, caches)
    finally:
        cluster.shutdown()


@pytest.fixture
def on_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Continue as on another machine that has no files of this one, with a cache that no worker sees."""

    def move(name: str) -> None:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("RAYTL_CACHE", "/proc/self/cwd/cache")

    return move


def outline(experiment: Experiment) -> list[dict[str, str]]:
    rows = csv.DictReader((sweep_root(experiment) / "trials.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in ("seconds", "folder")} for row in rows]


def decision(result: SweepResult) -> list[Any]:
    return [result.winner_number, result.overrides, result.sweep_score, result.replicates, result.refit_score]


def in_buckets(experiment: Experiment, bucket: str, address: str) -> Experiment:
    """Return the experiment with its data and runs in `bucket`, on the cluster at `address`."""
    data = open_store(f"s3://{bucket}/photos")
    for photo in Path(experiment.data.uri).rglob("*.jpg"):
        data.put_file(photo, photo.relative_to(experiment.data.uri).as_posix())
    changes = {"data.uri": data.uri, "storage.uri": f"s3://{bucket}/runs", "compute.cluster": address}
    return override(experiment, changes)


def tune_and_die(experiment: Experiment, file: Path) -> None:
    """Run the sweep in a process that is killed in the middle of two trials."""
    file.write_text(to_yaml(experiment))
    script = (
        "import os, signal, sys\n"
        "from raytl.config.load import load_experiment\n"
        "from raytl.events import TrialChanged\n"
        "from raytl.search.driver import tune\n"
        "def die(event):\n"
        f"    if isinstance(event, TrialChanged) and (event.number, event.epoch) == {KILLED_AT}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "tune(load_experiment(sys.argv[1]), on_event=die)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(file)], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.lengthy
@pytest.mark.parametrize(("workers", "trials"), [(1, 6), (2, 3)])
def test_a_sweep_on_two_nodes_whose_driver_is_killed_equals_that_on_one(
    make_sweep: Callable[..., Experiment],
    machines: Machines,
    bucket: str,
    on_a_driver: Callable[[str], None],
    tmp_path: Path,
    workers: int,
    trials: int,
) -> None:
    chosen = {"search.trials": trials, "search.scheduler": "none", "search.sampler": "random", "train.epochs": 3}
    chosen |= {"compute.workers": workers, "compute.cluster": "none" if workers == 1 else "local"}
    whole = make_sweep(chosen | {"search.recipes": False, "compute.cpus_per_worker": 1})
    alone = tune(whole)
    before = outline(whole)
    scattered = in_buckets(whole, bucket, machines.address)
    on_a_driver("driver 1")
    tune_and_die(scattered, tmp_path / "scattered.yaml")
    on_a_driver("driver 2")
    heard: list[Event] = []
    result = tune(scattered, on_event=heard.append)
    assert outline(scattered) == before
    assert decision(result) == decision(alone)
    trained = [(e.number, e.epoch) for e in heard if isinstance(e, TrialChanged) and e.epoch and e.state == "running"]
    assert len(trained) == len(set(trained)), "no epoch is trained twice"
    for cache in machines.caches:
        assert list((cache / "pulled").glob("*/manifest.json")), "this node downloaded the data"
        assert list((cache / "features").glob("*/card.json")), "trials on this node use cached features"
    store = open_store(sweep_uri(scattered))
    kept = [info.key for info in store.list("trials/") if info.key.endswith(WHOLE)]
    assert 0 < len(kept) <= 3, "only the best checkpoints stay"
    assert not [info.key for info in store.list() if "checkpoints/last" in info.key]
    on_a_driver("driver 3")
    assert tune(scattered).status == "already finished"
    there, here = evaluate(result.run, resamples=20), evaluate(alone.run, resamples=20)
    assert there.metrics == here.metrics
