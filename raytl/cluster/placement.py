"""Where the workers of a run fit, as arithmetic on the cluster's machines: a worker lies on one of them, whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError

Size = tuple[float, float]
"""CPUs and GPUs of a machine."""


@dataclass(frozen=True, slots=True)
class Place:
    """So many workers, and what each reserves."""

    workers: int
    resources: dict[str, float]

    def __str__(self) -> str:
        """`4 workers of 2 CPUs and a GPU each`."""
        gpu = " and a GPU" if self.resources.get("GPU") else ""
        return f"{self.workers} worker(s) of {self.resources['CPU']:g} CPUs{gpu} each"


def place(compute: ComputeConfig, machines: Sequence[Size], free: Sequence[Size] | None = None) -> Place:
    """As many workers as `compute` allows and `free` (all of `machines` by default) has room for.

    Raises:
        ConfigError: there is no room for the fewest; with how many there is room for.
    """
    wanted = min_resources(compute, machines)
    held = sum(_slots(size, wanted.resources) for size in (machines if free is None else free))
    if held >= compute.min_workers:
        return Place(min(held, compute.max_workers), wanted.resources)
    gpus = sum(size[1] for size in machines)
    if "GPU" in wanted.resources and gpus < compute.min_workers:
        raise ConfigError(
            f"compute.workers: {compute.min_workers} workers need one GPU each; the cluster has {gpus:g}.\n"
            f"  Set compute.workers to {max(int(gpus), 1)} at most, or compute.device: cpu."
        )
    raise ConfigError(
        f"compute.cpus_per_worker: {wanted}; {sizes(machines)}, which hold {held}.\n"
        "  Use fewer workers, fewer CPUs each, or cpus_per_worker: auto."
    )


def min_resources(compute: ComputeConfig, machines: Sequence[Size]) -> Place:
    """The fewest workers of `compute`, whether there is room for them or not: a GPU for each where there are some, and
    the CPUs asked for; `auto` = as many as all can have."""
    each = 1.0 if compute.device == "cuda" or (compute.device == "auto" and any(size[1] for size in machines)) else 0.0
    cpus = _auto_cpus(compute, machines, each) if compute.cpus_per_worker == "auto" else compute.cpus_per_worker
    return Place(compute.min_workers, {"CPU": cpus, **({"GPU": each} if each else {})})


def _auto_cpus(compute: ComputeConfig, machines: Sequence[Size], gpus: float) -> float:
    """The share of each worker; for a number of workers that is not fixed, that of a GPU, or one CPU."""
    if compute.min_workers == compute.max_workers:
        return most_cpus(machines, compute.max_workers, gpus)
    shares = [math.floor(size[0] / size[1]) for size in machines if size[1]] if gpus else []
    return float(max(1, min(shares, default=1)))


def most_cpus(machines: Sequence[Size], workers: int, gpus: float) -> float:
    """The largest share of CPUs, whole from 1 on, with which so many workers fit on the machines."""
    each = {"GPU": gpus} if gpus else {}
    shares = {math.floor(machine[0] / count) for machine in machines for count in range(1, workers + 1)}
    for share in sorted((share for share in shares if share >= 1), reverse=True):
        if sum(_slots(machine, {"CPU": share, **each}) for machine in machines) >= workers:
            return float(share)
    if gpus and sum(machine[1] for machine in machines) < workers:
        return 1.0  # of machines that are not there yet
    return max(0.01, round(sum(machine[0] for machine in machines) / workers - 0.005, 2))


def sizes(machines: Sequence[Size]) -> str:
    """`the cluster has 2 machine(s) of 4 CPUs, 2 CPUs`."""
    listed = ", ".join(f"{cpus:g} CPUs" + (f" + {gpus:g} GPUs" if gpus else "") for cpus, gpus in machines[:8])
    return f"the cluster has {len(machines)} machine(s) of {listed}{' ...' if len(machines) > 8 else ''}"


def _slots(size: Size, each: dict[str, float]) -> int:
    by_cpu = math.floor(size[0] / each["CPU"] + 1e-9)
    return min(by_cpu, math.floor(size[1] / each["GPU"] + 1e-9)) if each.get("GPU") else by_cpu
