"""What a sweep would do, as a value: what `raytl tune --dry-run` prints, and what is refused when it is beyond its budget."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialShape:
    """What one trial holds: `workers`, each with `cpus` and `gpus` (which may be fractions)."""

    workers: int
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class DepthCost:
    """What one trial costs at one unfreeze depth, measured by a few steps.

    `epoch_s` is an epoch of training and validation; `cache_bytes` what the shared prefix takes on disk for one
    strength, 0 where it is not shared; `build_s` is what building that takes, once.
    """

    depth: int
    trainable: int
    epoch_s: float
    shared: bool
    cache_bytes: int
    build_s: float


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """A projection: `low` if pruning goes as it should, `high` if every trial runs to its end at the dearest depth."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class SweepPlan:
    """The sweep before it starts. `arithmetic` shows how `concurrency` follows from the cluster and the trial's shape.

    `space` is (key, bounds in words) for each dimension; `done` are trials that an earlier start told already.
    """

    name: str
    folder: str
    images: dict[str, int]
    classes: int
    space: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    sampler: str
    scheduler: str
    trials: int
    done: int
    max_epochs: int
    shape: TrialShape
    cluster_cpus: float
    cluster_gpus: float
    concurrency: int
    arithmetic: str
    depths: tuple[DepthCost, ...]
    cache_bytes: int
    wall_s: CostEstimate
    gpu_hours: CostEstimate
    warnings: tuple[str, ...]
