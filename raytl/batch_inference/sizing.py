"""Choose the actors of a batch and what each reserves, as arithmetic on the cluster's machines. Pure.

Ray waits without a word for what it cannot place: two actors of 0.9 CPU on two CPUs, beside a task of one CPU, hung. Actors
here reserve whole CPUs of one machine, all together at most all that it has, and nothing else of a batch reserves any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytl.cluster.placement import Size, max_cpus_per_worker, sizes
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError

CPUS_PER_ACTOR = 2
"""CPUs of an actor without a GPU, where there are that many: its threads decode and compute in turn."""
IN_FLIGHT = 2
"""Parts per actor at a time: the next one waits beside it, so that it does not idle between two."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """The actors, and the CPUs and GPUs that each reserves; `threads` compute in each."""

    actors: int
    cpus: float
    gpus: float = 0.0
    in_flight: int = IN_FLIGHT

    @property
    def threads(self) -> int:
        """Threads of torch in each actor: one for each whole CPU, at least one."""
        return max(1, math.floor(self.cpus))

    def __str__(self) -> str:
        """Return text such as `2 actors of 2 CPUs and a GPU each`."""
        gpu = " and a GPU" if self.gpus else ""
        return f"{self.actors} actor{'' if self.actors == 1 else 's'} of {self.cpus:g} CPU{'' if self.cpus == 1 else 's'}{gpu} each"


def sizing(compute: ComputeConfig, workers: int | None, machines: Sequence[Size], parts: int) -> Sizing:
    """Return the actors for `parts` parts on `machines`: `workers`, or as many as fit, one for each GPU if there are any.

    Raises:
        ConfigError: no actor fits, or fewer than `workers`, where the text says how many do; or it is not 1 or more.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers: found {workers}, expected 1 or more")
    gpus = 1.0 if compute.device == "cuda" or (compute.device == "auto" and any(size[1] for size in machines)) else 0.0
    cpus = _cpus(compute, workers, machines, gpus)
    slots = sum(_slots(size, cpus, gpus) for size in machines)
    wanted = slots if workers is None else workers
    if slots < max(1, wanted):
        each = Sizing(max(1, wanted), cpus, gpus)
        raise ConfigError(
            f"--workers: {each} do not fit; {sizes(machines)}, where {slots} fit. Use --workers {max(slots, 1)} at most, fewer "
            f"compute.cpus_per_worker{', or --device cpu' if gpus else ''}."
        )
    return Sizing(max(1, min(wanted, parts)), cpus, gpus)


def _cpus(compute: ComputeConfig, workers: int | None, machines: Sequence[Size], gpus: float) -> float:
    """Return the CPUs of each actor: whole ones, as many as let all actors fit."""
    if compute.cpus_per_worker != "auto":
        return compute.cpus_per_worker
    if workers is not None:
        return max(1.0, math.floor(max_cpus_per_worker(machines, workers, gpus)))
    if gpus:
        per_gpu = [math.floor(size[0] / size[1]) for size in machines if size[1]]
        return float(max(1, min(per_gpu, default=1)))
    return float(min(CPUS_PER_ACTOR, max((math.floor(size[0]) for size in machines), default=1) or 1))


def _slots(size: Size, cpus: float, gpus: float) -> int:
    by_cpu = math.floor(size[0] / cpus + 1e-9)
    return min(by_cpu, math.floor(size[1] / gpus + 1e-9)) if gpus else by_cpu
