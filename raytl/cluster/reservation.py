"""Placement groups for the workers: packed on as few machines as possible, waited for while the cluster scales up."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from raytl.cluster.machines import machines
from raytl.cluster.placement import Placement, min_resources, place, sizes
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, WorkersLost
from raytl.events import Message, OnEvent
from raytl.throttle import Throttle

_POLL_S, _SLOW_POLL_S = 0.1, 1.0
"""Free resources are granted at once; while machines start, poll less often to spare the head."""
_REPORT_EVERY_S = 30.0
_SETTLE_S = 3.0


def reserved(compute: ComputeConfig, on_event: OnEvent) -> tuple[Placement, Any]:
    """Reserve resources for `compute.workers` and return them with their placement group, which the caller removes.

    A pending reservation makes an autoscaler start machines.

    Raises:
        WorkersLost: the cluster had no room within `compute.wait_s`.
    """
    began, throttle = time.monotonic(), Throttle(_REPORT_EVERY_S)
    wanted: Placement | None = None
    group: Any = None
    try:
        while True:
            waited = time.monotonic() - began
            target = _target(compute, free_only=waited > _SETTLE_S)
            if target != wanted:
                _remove(group)
                wanted, group = target, reserve(target)
            if is_ready(group):
                return target, group
            if waited > compute.wait_s:
                raise WorkersLost(f"{_describe(wanted)}; still no room after compute.wait_s ({compute.wait_s:g} s)")
            if waited > _SETTLE_S and throttle.is_due():
                on_event(Message(f"waiting for resources: {_describe(wanted)}", "warning"))
            threading.Event().wait(_POLL_S if waited < _SETTLE_S else _SLOW_POLL_S)
    except BaseException:
        _remove(group)
        raise


def reserve_extra(current: Placement, compute: ComputeConfig) -> list[Any]:
    """Request one placement group for each worker that `compute` allows beyond `current`; each that becomes ready is room
    for another worker."""
    return [reserve(Placement(1, current.resources)) for _ in range(compute.max_workers - current.workers)]


def count_ready(groups: list[Any]) -> int:
    """Return how many of the placement groups hold resources."""
    return sum(is_ready(group) for group in groups)


def release(groups: list[Any]) -> None:
    """Remove the placement groups."""
    for group in groups:
        _remove(group)


def _target(compute: ComputeConfig, free_only: bool) -> Placement:
    """Return the placement on all machines; with `free_only`, on the resources that are free now if those suffice."""
    cluster = [machine for machine in machines() if not machine.draining]
    totals = [machine.size for machine in cluster]
    with contextlib.suppress(ConfigError):
        return place(compute, totals, [machine.free for machine in cluster] if free_only else None)
    return min_resources(compute, totals)


def _describe(wanted: Placement) -> str:
    return f"{wanted}; {sizes([machine.size for machine in machines() if not machine.draining])}"


def reserve(wanted: Placement) -> Any:
    """Request a placement group with a bundle for each worker, without waiting for it."""
    from ray.util.placement_group import placement_group

    return placement_group([wanted.resources] * wanted.workers, strategy="PACK")


def is_ready(group: Any) -> bool:
    """True once Ray has reserved it; its own `wait` accepts whole seconds only."""
    from ray.util.placement_group import placement_group_table

    return bool(placement_group_table(group)["state"] == "CREATED")


def _remove(group: Any) -> None:
    from ray.util.placement_group import remove_placement_group

    if group is not None:
        remove_placement_group(group)
