"""The plan of a sweep, as a value: `raytl tune --dry-run` prints it, and a plan over budget is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialShape:
    """The resources of one trial: `workers`, each with `cpus` and `gpus` (which may be fractions)."""

    workers: int
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class DepthCost:
    """The cost of one trial at one unfreeze depth, measured by a few steps.

    `epoch_s` is the time of an epoch with validation, the mean over what trials draw beside labelled images, and `most_s` that
    of a trial that draws the most. `cached` is True if the features below the depth are cached:
    `cache_bytes` is their size for one augmentation strength, `build_s` the time to compute them once.
    """

    depth: int
    trainable: int
    epoch_s: float
    cached: bool
    cache_bytes: int
    build_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """A projection: `low` if pruning works well, `high` if every trial runs to its end at the most expensive depth."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before it starts. `arithmetic` shows how `concurrency` follows from the cluster and the trial's shape.

    `space` is (key, bounds in words) for each dimension; `done` is the number of trials that ended in earlier starts.
    `prior` names the earlier sweeps that it starts from, with their numbers of trials; empty without.
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
    measured_at: str = ""
    """The sizes of images if those of the trials are smaller: what scores are measured at."""
    prior: str = ""
    refit_epochs: int | None = None
    """Epochs of the winner's refit, if these are not `max_epochs`."""
