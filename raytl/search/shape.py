"""The number of concurrent trials: arithmetic on the cluster's nodes and the trial's shape, explained in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config.schema import ComputeConfig
from raytl.cpus import usable_cpus
from raytl.errors import ConfigError
from raytl.search.plan import TrialShape


@dataclass(frozen=True, slots=True)
class Node:
    """The resources of one node of the cluster."""

    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The number of trials that run at a time, and its arithmetic in words."""

    concurrency: int
    arithmetic: str


def this_machine(gpus: int) -> Node:
    """Return this machine, with the CPUs that this process may use and `gpus` GPUs."""
    return Node(float(usable_cpus()), float(gpus))


def runs_here(compute: ComputeConfig, machine: Node) -> bool:
    """Return True if a sweep on this `machine` needs no Ray: trials on one worker run one at a time.

    Raises:
        ConfigError: no trial fits.
    """
    if compute.cluster != "local" or compute.workers != 1:
        return compute.cluster == "none"
    return fitting(trial_shape(compute, [machine]), [machine]).concurrency == 1


def trial_shape(compute: ComputeConfig, nodes: Sequence[Node]) -> TrialShape:
    """Return the resources of one trial: for each worker a GPU and its part of the CPUs, or without GPUs one CPU."""
    if not isinstance(compute.workers, int):
        raise ConfigError("compute.workers: all trials of a search have the same shape; expected one number")
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    worker_gpus = 0.0 if compute.device == "cpu" or not gpus else 1.0
    if worker_gpus and compute.trial_gpus != "auto":
        worker_gpus = compute.trial_gpus
    auto_cpus = max(1.0, float(math.floor(cpus / gpus * worker_gpus))) if worker_gpus else 1.0
    worker_cpus = auto_cpus if compute.cpus_per_worker == "auto" else compute.cpus_per_worker
    return TrialShape(compute.workers, worker_cpus, worker_gpus)


def fitting(shape: TrialShape, nodes: Sequence[Node]) -> Fit:
    """Return how many trials of `shape` the nodes can run at once.

    Raises:
        ConfigError: not even one fits; the text has the arithmetic.
    """
    slots = [_slots(shape, node) for node in nodes]
    count = sum(slots) // shape.workers
    worker = f"{shape.cpus:g} CPU" + (f" + {shape.gpus:g} GPU" if shape.gpus else "")
    cluster = _total(nodes)
    text = f"{cluster} hold {sum(slots)} workers of {worker}; {shape.workers} per trial: {count} at a time"
    if count:
        return Fit(count, text)
    raise ConfigError(
        f"compute: no trial fits. A trial needs {shape.workers} worker(s) of {worker} each; {cluster} hold {sum(slots)}.\n"
        "  Use fewer compute.workers, smaller compute.cpus_per_worker or compute.trial_gpus, or a larger cluster."
    )


def _slots(shape: TrialShape, node: Node) -> int:
    by_cpu = math.floor(node.cpus / shape.cpus + 1e-9)
    return min(by_cpu, math.floor(node.gpus / shape.gpus + 1e-9)) if shape.gpus else by_cpu


def _total(nodes: Sequence[Node]) -> str:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return f"{len(nodes)} node(s) with {cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
