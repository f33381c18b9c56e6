"""Inject faults into a training run on a local cluster, and measure the time until training resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.bench.scale_nodes import Nodes, wait_for
from experiments.bench.scale_run import _EVERY_STEP, marks

KINDS = ("worker killed", "node killed", "driver killed, resubmitted", "head killed, resubmitted", "node drained")
_DRAIN_S = 20
File = Callable[[str, str], Path]
"""A function that writes the experiment file of a name, for the cluster at an address."""


class Trained:
    """Training on two workers of a cluster of three nodes, one of them spare."""

    def __init__(self, file: File, runs: Path, name: str) -> None:
        self._file, self._name, self.run = file, name, runs / name
        self.nodes = Nodes()
        self.workers = [self.nodes.add() for _ in range(3)]
        self.run.mkdir(parents=True)
        (self.run / _EVERY_STEP).touch()
        self.driver = self._drive()
        wait_for(lambda: len(self.marks("step")) >= 20, f"training of {name} to start")

    def resubmit(self) -> None:
        """Run the same command again."""
        self.driver = self._drive()

    def close(self) -> None:
        """Stop the training and its cluster."""
        self.driver.kill()
        self.driver.wait()
        self.nodes.close()

    def marks(self, kind: str, after: float = 0.0) -> list[dict[str, Any]]:
        """Return the marks of that kind after that time."""
        return [each for each in marks(self.run) if each["kind"] == kind and each["t"] > after]

    def worker(self) -> int:
        """Return the process ID of rank 1."""
        return int(next(each["pid"] for each in reversed(self.marks("entered")) if each["rank"] == 1))

    def node_of_worker(self) -> subprocess.Popen[bytes]:
        """Return the node of rank 1."""
        group = os.getpgid(self.worker())
        return next(
            node for node in self.workers if os.getpgid(node.pid) == group or _is_below(self.worker(), node.pid)
        )

    def new_step(self, fault: float) -> float:
        """Return the seconds from `fault` to the first step of workers that started after it."""

        def new_steps() -> list[dict[str, Any]]:
            entered = self.marks("entered", fault)
            return self.marks("step", entered[0]["t"]) if entered else []

        wait_for(lambda: bool(new_steps()), f"{self._name} to resume")
        return float(new_steps()[0]["t"]) - fault

    def _drive(self) -> subprocess.Popen[bytes]:
        file = self._file(self._name, self.nodes.address)
        log = (self.run.parent / f"{self._name}.log").open("ab")
        words = [sys.executable, "-m", "experiments.bench.scale_run", "ray", str(file)]
        return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)


def recovered(kind: str, file: File, runs: Path, number: int) -> float:
    """Return the seconds from a fault of that kind to the first new step."""
    trained = Trained(file, runs, f"fault-{KINDS.index(kind)}-{number}")
    try:
        at = time.time()
        _FAULTS[kind](trained)
        return trained.new_step(at)
    finally:
        trained.close()


def _worker(trained: Trained) -> None:
    os.kill(trained.worker(), signal.SIGKILL)


def _node(trained: Trained) -> None:
    trained.nodes.kill(trained.node_of_worker())


def _driver(trained: Trained) -> None:
    trained.driver.kill()
    trained.driver.wait()
    trained.resubmit()


def _head(trained: Trained) -> None:
    """Kill the head, which ends its nodes; start a new cluster, and the driver again."""
    before = trained.nodes
    before.kill(before.nodes[0])
    trained.driver.kill()
    trained.driver.wait()
    before.close()
    trained.nodes = Nodes()
    trained.workers = [trained.nodes.add() for _ in range(2)]
    trained.resubmit()


def _drained(trained: Trained) -> None:
    """Drain the node, as after the notice of a spot machine."""
    node = trained.node_of_worker()
    words = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", trained.nodes.address]
    words += ["--node-id", _node_id(trained, node), "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
    words += ["--reason-message", "bench", "--deadline-remaining-seconds", str(_DRAIN_S)]
    subprocess.run(words, check=True, capture_output=True)


_FAULTS: dict[str, Callable[[Trained], None]] = dict(
    zip(KINDS, (_worker, _node, _driver, _head, _drained), strict=True)
)


def _node_id(trained: Trained, node: subprocess.Popen[bytes]) -> str:
    """Return the ID of the node in Ray, from the command line of its raylet."""
    import psutil

    for process in psutil.Process(node.pid).children(recursive=True):
        for word in process.cmdline():
            if word.startswith("--node_id="):
                return word.partition("=")[2]
    raise SystemExit(f"the bench found no raylet below pid {node.pid} of {trained.run}")


def _is_below(pid: int, parent: int) -> bool:
    import psutil

    return any(each.pid == parent for each in psutil.Process(pid).parents())
