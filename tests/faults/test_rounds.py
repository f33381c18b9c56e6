"""Faults at random moments on separate hosts: every run ends like an undisturbed one.

`RAYTL_FAULT_ROUNDS` faults of each kind (2 by default; 20 make the table of experiments/LOG.md), several in one run, at
moments from a fixed seed. Each is appended to build/faults/rounds.jsonl.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from raytl.run import journal
from raytl.run.folder import RunFolder
from tests.faults import hosts
from tests.faults.ray_nodes import RayNodes, until
from tests.faults.rounds import Round, Run, clock, outcome, waited

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not hosts.available(), reason="network namespaces take root and iproute2"),
]

ROUNDS = int(os.environ.get("RAYTL_FAULT_ROUNDS", "2"))
LOG = Path(__file__).parents[2] / "build" / "faults" / "rounds.jsonl"
EPOCHS = 30 * min(ROUNDS, 2)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rtlf-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[RayNodes]:
    """Start a head without CPUs and two nodes with one each."""
    net = hosts.Hosts()
    cluster = RayNodes(net, folder)
    try:
        for number in (0, 1, 2):
            cluster.start(number)
        yield cluster
    finally:
        cluster.close()
        net.close()


@pytest.fixture(scope="module")
def experiment(folder: Path) -> Path:
    """Create noisy squares of three colors, and a small network with BatchNorm and two trainable stages."""
    rng = np.random.default_rng(0)
    for label in range(3):
        (folder / "photos" / f"c{label}").mkdir(parents=True)
        for i in range(60):
            pixels = rng.normal(60 + 60 * label, 40, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / f"c{label}" / f"{i}.png")
    path = folder / "toy.yaml"
    path.write_text(
        f"name: toy\ndata: {{uri: {folder}/photos, loader_workers: 0}}\n"
        "model: {name: test_resnet, weights: none, preprocess: {image_px: 32}}\n"
        "transfer: {unfreeze: 2}\naugment: {strength: 0.2, color: off}\noptim: {lr: 0.02}\n"
        f"train: {{epochs: {EPOCHS}, batch_size: 8, early_stop: 0, precision: fp32, deterministic: true,"
        " checkpoint_every_s: 0.5}\n"
        "compute: {device: cpu, workers: 2, max_failures: 100, timeout_s: 60}\n"
        f"storage: {{uri: {folder}/runs}}\n"
    )
    return path


class Bench:
    """The cluster, its undisturbed runs, and the runs with faults."""

    def __init__(self, nodes: RayNodes, experiment: Path, folder: Path) -> None:
        self.nodes, self.experiment, self.folder = nodes, experiment, folder

    def run(self, name: str, *overrides: str) -> Run:
        place = RunFolder(self.folder / "runs" / name)
        return Run(self.nodes, self.experiment, place, (f"name={name}", *overrides))

    def undisturbed(self, *overrides: str) -> RunFolder:
        name = "undisturbed-" + "-".join(str(abs(hash(text)) % 10**6) for text in overrides)
        run = self.run(name, *overrides)
        if not run.finished:
            run.start()
            run.end()
        return run.folder


@pytest.fixture(scope="module")
def bench(nodes: RayNodes, experiment: Path, folder: Path) -> Bench:
    return Bench(nodes, experiment, folder)


Fault = Callable[[RayNodes, Run, random.Random], None]


class RunOver(Exception):
    """The run was complete before the fault occurred."""


def a_worker(nodes: RayNodes, run: Run, rng: random.Random) -> psutil.Process:
    workers = until(lambda: nodes.workers() or run.finished, "train workers")
    if workers is True:
        raise RunOver
    worker: psutil.Process = rng.choice(workers)
    return worker


def kill_a_worker(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    a_worker(nodes, run, rng).kill()


def kill_a_raylet(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    number = rng.choice((1, 2))
    nodes.kill_raylet(number)
    waited(rng.uniform(0, 3))
    nodes.supervise(number)


def kill_the_driver(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    run.kill()
    until(lambda: not nodes.workers(), "the end of the workers", 60)


def kill_the_head(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    nodes.kill_raylet(0)
    run.kill()
    waited(rng.uniform(0, 2))
    for number in (1, 2):
        nodes.stop(number)
    nodes.start(0)
    nodes.supervise(1, 2)


def cut_a_host_off(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    number = rng.choice((1, 2))
    nodes.hosts.cut(number)
    waited(rng.choice((rng.uniform(1, 8), rng.uniform(8, 60))))
    nodes.hosts.heal(number)
    nodes.supervise(number)


def drain_a_node(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    number, before = rng.choice((1, 2)), len(run.resumptions())
    gone = nodes.hosts.add(number)
    nodes.drain(number, rng.randint(15, 30))
    until(lambda: any(f"{gone} is being preempted" in line for line in run.lines[-6:]) or run.finished, "the pause", 30)
    paused = run.stored()
    nodes.stop(number)
    nodes.supervise(number)
    until(lambda: len(run.resumptions()) > before or run.finished, "the resumption", 120)
    if not run.finished:
        assert run.resumptions()[before] == paused, "what was done within the notice is kept, to the step"


def stop_a_worker_for_a_while(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    worker, before = a_worker(nodes, run, rng), len(run.resumptions())
    worker.suspend()
    waited(rng.uniform(0.5, 12))
    worker.resume()
    assert len(run.resumptions()) == before, "a slow worker is waited for"


# A driver that sees the head's processes, as on all these hosts, would join the head's node: name the host.
FILL = """
import logging, time, numpy, ray
ray.init({address!r}, _node_ip_address={host!r}, logging_level=logging.ERROR, log_to_driver=False)
held = [ray.put(numpy.ones(2**21)) for _ in range(80)]
print("full", flush=True)
time.sleep(60)
"""


def fill_the_object_store(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    """Fill a store of 80 MB with 1.3 GB of objects and kill a worker meanwhile."""
    number, before = rng.choice((1, 2)), len(run.resumptions())
    words = (sys.executable, "-c", FILL.format(address=nodes.address, host=nodes.hosts.add(number)))
    with nodes.on(number, *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as filler:
        try:
            assert filler.stdout is not None
            said = [filler.stdout.readline()]
            while said[-1] not in ("full\n", ""):
                said.append(filler.stdout.readline())
            assert said[-1], f"the store was not filled: {said[:20]}"
            a_worker(nodes, run, rng).kill()
            until(lambda: run.went_on(before), "a resumption beside a full object store", 180)
        finally:
            filler.kill()


def fill_the_cache_disk(nodes: RayNodes, run: Run, rng: random.Random) -> None:
    """Put a node's cache on a disk of 4 MB that is full when the next worker opens its images."""
    number = rng.choice((1, 2))
    disk = nodes.cache(number)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        filled = subprocess.run(["dd", "if=/dev/zero", f"of={disk}/full"], capture_output=True, text=True, check=False)
        assert "No space left" in filled.stderr
        a_worker(nodes, run, rng).kill()
        run.moves_on(run.stored())
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


KINDS: dict[str, Fault] = {
    "train worker killed": kill_a_worker,
    "raylet killed": kill_a_raylet,
    "driver killed, same command again": kill_the_driver,
    "head killed, same command again": kill_the_head,
    "host cut off for 1 to 60 s": cut_a_host_off,
    "node drained with notice": drain_a_node,
    "worker stopped for up to 12 s": stop_a_worker_for_a_while,
    "object store full": fill_the_object_store,
    "cache disk full": fill_the_cache_disk,
}
MAY_PASS = (stop_a_worker_for_a_while, cut_a_host_off)
"""Faults that a run may outlast without starting its workers again."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_like_an_undisturbed_one(bench: Bench, kind: str) -> None:
    fault, rng, done, runs = KINDS[kind], random.Random(kind), 0, 0
    whole = outcome(bench.undisturbed())
    while done < ROUNDS:
        run = bench.run(f"{kind.replace(' ', '-').replace(',', '')}-{runs}")
        runs += 1
        run.start()
        try:
            run.moves_on((1, 0))
            while done < ROUNDS and strike(bench, run, kind, fault, rng, done + 1):
                done += 1
            run.end()
        finally:
            run.close()
        assert_whole(bench, run)
        rows, weights = outcome(run.folder)
        assert rows == whole[0]
        assert all(torch.equal(weights[name], tensor) for name, tensor in whole[1].items())


def strike(bench: Bench, run: Run, kind: str, fault: Fault, rng: random.Random, number: int) -> bool:
    """Inject one fault at a random moment and recover; return False if the run ended before."""
    waited(rng.uniform(0, 2))
    if run.finished:
        return False
    stored, before, began = run.stored(), len(run.resumptions()), clock()
    try:
        fault(bench.nodes, run, rng)
    except RunOver:
        return False
    if fault not in MAY_PASS:
        until(lambda: run.went_on(before), f"a resumption: {kind}", 180)
    run.moves_on(run.stored())
    resumed = run.resumptions()[before:]
    assert all(place >= stored for place in resumed), f"from {stored} back to {resumed}"
    Round(kind, number, stored, resumed[0] if resumed else None, clock() - began).write(LOG)
    return True


def assert_whole(bench: Bench, run: Run) -> None:
    """Check that every epoch is there once, and no partial file, process or reservation is left."""
    assert [record["epoch"] for record in journal.read(run.folder.metrics)] == list(range(1, EPOCHS + 1))
    assert not run.folder.verify()
    left = [path.name for path in run.folder.root.iterdir() if path.name.startswith(".") and "tmp" in path.name]
    assert not left
    until(lambda: not bench.nodes.workers(), "the end of all workers", 30)
    code = "from ray.util.placement_group import placement_group_table as t\n"
    code += "print(sum(g['state'] != 'REMOVED' for g in t().values()))"
    until(lambda: bench.nodes.ask(code) == "0", "no reservation left", 60)


def test_an_added_node_is_used_and_a_drained_one_is_left(bench: Bench) -> None:
    """Check that another number of workers gives the same sums in another order, with only the head trainable."""
    elastic = ("transfer.unfreeze=0", "compute.workers={min: 2, max: 3}", "train.epochs=200")
    reference, _ = outcome(bench.undisturbed("transfer.unfreeze=0", "train.epochs=200"))
    rng, done, runs = random.Random("elastic"), 0, 0
    while done < ROUNDS:
        run = bench.run(f"elastic-{runs}", *elastic)
        runs += 1
        run.start()
        try:
            run.moves_on((1, 0))
            while done < ROUNDS and grow_and_shrink(bench, run, rng, done + 1):
                done += 1
            run.end()
        finally:
            run.close()
            bench.nodes.stop(3)
        rows, _ = outcome(run.folder)
        assert [row["epoch"] for row in rows] == [row["epoch"] for row in reference]
        for row, other in zip(rows, reference, strict=True):
            assert row["val/accuracy"] == other["val/accuracy"]
            assert row["val/log_loss"] == pytest.approx(other["val/log_loss"], rel=1e-3, abs=1e-4)


def grow_and_shrink(bench: Bench, run: Run, rng: random.Random, number: int) -> bool:
    """Add a node and drain it; return False if the run ended before."""

    def add() -> None:
        waited(rng.uniform(0, 2))
        bench.nodes.start(3)

    def drain() -> None:
        waited(rng.uniform(0, 2))
        bench.nodes.drain(3, 20)

    steps = (("node added", 3, add), ("added node drained", 2, drain))
    done = all(resized(bench, run, kind, workers, fault, number) for kind, workers, fault in steps)
    bench.nodes.stop(3)
    return done


def resized(bench: Bench, run: Run, kind: str, workers: int, fault: Callable[[], None], number: int) -> bool:
    """Inject the fault, after which training resumes with so many workers; return False if the run ended before."""
    stored, before, began = run.stored(), len(run.resumptions()), clock()
    fault()
    until(lambda: run.finished or len(run.resumptions()) > before, kind, 120)
    if run.finished:
        return False
    resumed = run.resumptions()[before]
    assert resumed >= stored
    assert any(f"starting {workers} worker(s)" in line for line in run.lines[-12:])
    run.moves_on(resumed)
    Round(kind, number, stored, resumed, clock() - began).write(LOG)
    return True
