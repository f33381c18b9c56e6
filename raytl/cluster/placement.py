"""Where the workers of a run fit, as arithmetic on the cluster's machines: a worker lies on one of them, whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError

Machine = tuple[float, float]
"""CPUs and GPUs."""


def worker_resources(compute: ComputeConfig, machines: Sequence[Machine]) -> dict[str, float]:
    """What one worker reserves: a GPU where there are some, and the CPUs asked for; `auto` = as many as all can have.

    Raises:
        ConfigError: the machines cannot hold the workers; with how many they can.
    """
    gpus = sum(machine[1] for machine in machines)
    each = 1.0 if compute.device == "cuda" or (compute.device == "auto" and gpus > 0) else 0.0
    if each and gpus < compute.workers:
        raise ConfigError(
            f"compute.workers: {compute.workers} workers need one GPU each; the cluster has {gpus:g}.\n"
            f"  Set compute.workers to {max(int(gpus), 1)} at most, or compute.device: cpu."
        )
    cpus = most_cpus(machines, compute.workers, each) if compute.cpus_per_worker == "auto" else compute.cpus_per_worker
    held = sum(_slots(machine, cpus, each) for machine in machines)
    if held < compute.workers:
        raise ConfigError(
            f"compute.cpus_per_worker: {compute.workers} workers of {cpus:g} CPUs"
            f"{' and a GPU' if each else ''} each; {_told(machines)}, which hold {held}.\n"
            "  Use fewer workers, fewer CPUs each, or cpus_per_worker: auto."
        )
    return {"CPU": cpus, **({"GPU": each} if each else {})}


def most_cpus(machines: Sequence[Machine], workers: int, gpus: float) -> float:
    """The largest share of CPUs, whole from 1 on, with which so many workers fit on the machines."""
    shares = {math.floor(machine[0] / count) for machine in machines for count in range(1, workers + 1)}
    for share in sorted((share for share in shares if share >= 1), reverse=True):
        if sum(_slots(machine, share, gpus) for machine in machines) >= workers:
            return float(share)
    return max(0.01, round(sum(machine[0] for machine in machines) / workers - 0.005, 2))


def _slots(machine: Machine, cpus: float, gpus: float) -> int:
    by_cpu = math.floor(machine[0] / cpus + 1e-9)
    return min(by_cpu, math.floor(machine[1] / gpus + 1e-9)) if gpus else by_cpu


def _told(machines: Sequence[Machine]) -> str:
    sizes = ", ".join(f"{cpus:g} CPUs" + (f" + {gpus:g} GPUs" if gpus else "") for cpus, gpus in machines[:8])
    return f"the cluster has {len(machines)} machine(s) of {sizes}{' ...' if len(machines) > 8 else ''}"
