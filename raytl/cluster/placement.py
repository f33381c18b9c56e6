"""Placement of a run's workers, as arithmetic on the cluster's machines: a worker never spans two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError

Size = tuple[float, float]
"""CPUs and GPUs of a machine."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The number of workers and the resources that each reserves."""

    workers: int
    resources: dict[str, float]

    def __str__(self) -> str:
        """Return text such as `4 worker(s) of 2 CPUs and a GPU each`."""
        gpu = " and a GPU" if self.resources.get("GPU") else ""
        return f"{self.workers} worker(s) of {self.resources['CPU']:g} CPUs{gpu} each"


def runs_in_process(compute: ComputeConfig) -> bool:
    """Return True if a run of `compute` needs no Ray: one worker on this machine, unless `embedded` asks for Ray."""
    return compute.cluster == "none" or (compute.cluster == "local" and compute.max_workers == 1)


def place(compute: ComputeConfig, machines: Sequence[Size], free: Sequence[Size] | None = None) -> Placement:
    """Return the largest placement that `compute` allows and `free` (all of `machines` by default) can hold.

    Raises:
        ConfigError: `min_workers` do not fit; the text says how many do.
    """
    minimum = min_resources(compute, machines)
    slots = sum(_slots(size, minimum.resources) for size in (machines if free is None else free))
    if slots >= compute.min_workers:
        return Placement(min(slots, compute.max_workers), minimum.resources)
    gpus = sum(size[1] for size in machines)
    if "GPU" in minimum.resources and gpus < compute.min_workers:
        raise ConfigError(
            f"compute.workers: {compute.min_workers} workers need one GPU each, but the cluster has {gpus:g}.\n"
            f"  Set compute.workers to at most {max(int(gpus), 1)}, or compute.device: cpu."
        )
    raise ConfigError(
        f"compute.cpus_per_worker: {minimum}, but {sizes(machines)}; {slots} worker(s) fit.\n"
        "  Use fewer workers, fewer CPUs each, or cpus_per_worker: auto."
    )


def min_resources(compute: ComputeConfig, machines: Sequence[Size]) -> Placement:
    """Return the smallest placement of `compute`, whether it fits or not.

    Each worker gets a GPU if the cluster has any, and `cpus_per_worker` CPUs; `auto` divides the CPUs evenly.
    """
    each = 1.0 if compute.device == "cuda" or (compute.device == "auto" and any(size[1] for size in machines)) else 0.0
    cpus = _auto_cpus(compute, machines, each) if compute.cpus_per_worker == "auto" else compute.cpus_per_worker
    return Placement(compute.min_workers, {"CPU": cpus, **({"GPU": each} if each else {})})


def _auto_cpus(compute: ComputeConfig, machines: Sequence[Size], gpus: float) -> float:
    """Return the CPUs of each worker; if the number of workers may vary, the CPUs per GPU, or one CPU."""
    if compute.min_workers == compute.max_workers:
        return max_cpus_per_worker(machines, compute.max_workers, gpus)
    per_gpu = [math.floor(size[0] / size[1]) for size in machines if size[1]] if gpus else []
    return float(max(1, min(per_gpu, default=1)))


def max_cpus_per_worker(machines: Sequence[Size], workers: int, gpus: float) -> float:
    """Return the most CPUs per worker, whole numbers from 1 up and hundredths below, with which `workers` fit on the machines."""
    each = {"GPU": gpus} if gpus else {}
    counts = range(1, workers + 1)
    whole = {math.floor(machine[0] / count) for machine in machines for count in counts}
    parts = {math.floor(100 * machine[0] / count) / 100 for machine in machines for count in counts}
    candidates = {float(cpus) for cpus in whole if cpus >= 1} | {cpus for cpus in parts if 0 < cpus < 1}
    if gpus and sum(machine[1] for machine in machines) < workers:
        candidates = {cpus for cpus in candidates if cpus >= 1}  # the machines have not joined yet
    for cpus in sorted(candidates, reverse=True):
        if sum(_slots(machine, {"CPU": cpus, **each}) for machine in machines) >= workers:
            return cpus
    return 1.0 if gpus else 0.01


def sizes(machines: Sequence[Size]) -> str:
    """Return text such as `the cluster has 2 machine(s) of 4 CPUs, 2 CPUs`."""
    listed = ", ".join(f"{cpus:g} CPUs" + (f" + {gpus:g} GPUs" if gpus else "") for cpus, gpus in machines[:8])
    return f"the cluster has {len(machines)} machine(s) of {listed}{' ...' if len(machines) > 8 else ''}"


def _slots(size: Size, each: dict[str, float]) -> int:
    by_cpu = math.floor(size[0] / each["CPU"] + 1e-9)
    return min(by_cpu, math.floor(size[1] / each["GPU"] + 1e-9)) if each.get("GPU") else by_cpu
