"""The worker processes of a group: placed and started, also before the run's plan is made."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raytl.cluster.machines import machines
from raytl.cluster.placement import Placement, place
from raytl.cluster.reservation import is_ready, release, reserve, reserved
from raytl.cluster.session import STARTED_HERE
from raytl.config.schema import ComputeConfig
from raytl.eager import defer_compiler
from raytl.errors import WorkersLost
from raytl.events import OnEvent
from raytl.gc_pause import importing

_POLL_S = 0.1


@dataclass(frozen=True)
class Workers:
    """Actors of Ray Train's worker class, one in each bundle of the placement `group`; without torch until they need it."""

    placement: Placement
    group: Any
    actors: tuple[Any, ...]

    def preload(self, *modules: str) -> None:
        """Let the workers import the modules, without waiting for it; a module that fails is imported again later."""
        for actor in self.actors:
            actor.execute.remote(_import, modules)

    def stop(self) -> None:
        """End the processes and give their resources back."""
        import ray

        for actor in self.actors:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(actor)
        release([self.group])


@contextlib.contextmanager
def started(compute: ComputeConfig, on_event: OnEvent, early: Workers | None = None) -> Iterator[Workers]:
    """Place and start the workers of `compute`, or adopt `early` ones, and stop them at the end of the block.

    Raises:
        ConfigError: the workers do not fit on this machine.
        WorkersLost: the cluster had no room within `compute.wait_s`.
    """
    workers = early or _placed(compute, on_event)
    try:
        yield workers
    finally:
        workers.stop()


def _placed(compute: ComputeConfig, on_event: OnEvent) -> Workers:
    if compute.cluster in STARTED_HERE:  # workers that do not fit on it now never will
        placement = place(compute, [machine.size for machine in machines()])
        group = reserve(placement)
        _await_room(group, compute)
    else:
        placement, group = reserved(compute, on_event)
    return start_workers(placement, group)


def _await_room(group: Any, compute: ComputeConfig) -> None:
    """Wait until the group has its resources, which others of this machine may hold for a while; release it otherwise.

    Raises:
        WorkersLost: they are not free after `compute.wait_s`.
    """
    until = time.monotonic() + compute.wait_s
    try:
        while not is_ready(group):
            if time.monotonic() > until:
                raise WorkersLost(
                    f"the CPUs or GPUs of this machine were not free within {compute.wait_s:g} s (compute.wait_s). Stop what "
                    "holds them, or ask for fewer workers."
                )
            time.sleep(_POLL_S)
    except BaseException:
        release([group])
        raise


def start_workers(placement: Placement, group: Any) -> Workers:
    """Start a worker in each bundle of the placement group, without waiting for it."""
    import ray
    from ray.train.v2._internal.execution.worker_group.worker import RayTrainWorker
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    worker: Any = ray.remote(RayTrainWorker)
    options = {"num_cpus": placement.resources["CPU"], "num_gpus": placement.resources.get("GPU", 0)}
    bundles = [PlacementGroupSchedulingStrategy(group, bundle) for bundle in range(placement.workers)]
    actors = [worker.options(**options, scheduling_strategy=bundle).remote() for bundle in bundles]
    return Workers(placement, group, tuple(actors))


def _import(modules: tuple[str, ...]) -> None:
    defer_compiler()
    with importing():
        for module in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(module)
