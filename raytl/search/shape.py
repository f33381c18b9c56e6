"""How many trials run side by side: arithmetic on the cluster's nodes and the trial's shape, told in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError
from raytl.search.plan import TrialShape


@dataclass(frozen=True, slots=True)
class Node:
    """What one machine of the cluster has."""

    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Fit:
    """`concurrency` trials at a time, and the arithmetic of it in words."""

    concurrency: int
    arithmetic: str


def trial_shape(compute: ComputeConfig, nodes: Sequence[Node]) -> TrialShape:
    """What one trial holds: a GPU for each worker where there are some, and its share of the CPUs; else one CPU each."""
    if not isinstance(compute.workers, int):
        raise ConfigError("compute.workers: the trials of a search are of one shape; give one number")
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    wanted = 0.0 if compute.device == "cpu" or not gpus else 1.0
    if wanted and compute.trial_gpus != "auto":
        wanted = compute.trial_gpus
    share = math.floor(cpus / gpus * wanted) if wanted else 1
    each = max(1.0, float(share)) if compute.cpus_per_worker == "auto" else compute.cpus_per_worker
    return TrialShape(compute.workers, each, wanted)


def fitting(shape: TrialShape, nodes: Sequence[Node]) -> Fit:
    """How many such trials fit the cluster at once.

    Raises:
        ConfigError: not even one does; with the arithmetic.
    """
    slots = [_slots(shape, node) for node in nodes]
    count = sum(slots) // shape.workers
    worker = f"{shape.cpus:g} CPU" + (f" + {shape.gpus:g} GPU" if shape.gpus else "")
    have = _total(nodes)
    text = f"{have} hold {sum(slots)} workers of {worker}; {shape.workers} a trial: {count} at a time"
    if count:
        return Fit(count, text)
    raise ConfigError(
        f"compute: no trial fits. A trial needs {shape.workers} worker(s) of {worker} each; {have} hold {sum(slots)}.\n"
        "  Use fewer compute.workers, smaller compute.cpus_per_worker or compute.trial_gpus, or a larger cluster."
    )


def _slots(shape: TrialShape, node: Node) -> int:
    by_cpu = math.floor(node.cpus / shape.cpus + 1e-9)
    return min(by_cpu, math.floor(node.gpus / shape.gpus + 1e-9)) if shape.gpus else by_cpu


def _total(nodes: Sequence[Node]) -> str:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return f"{len(nodes)} node(s) with {cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
