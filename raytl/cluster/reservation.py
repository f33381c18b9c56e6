"""Room for the workers: reserved on as few machines as can hold them, waited for where a cluster has to make it first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raytl.cluster.machines import machines
from raytl.cluster.placement import Place, min_resources, place, sizes
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, WorkersLost
from raytl.events import Message, OnEvent

_LOOK_S, _WAIT_S = 0.1, 1.0
"""Between two looks: where there is room it is there at once; where machines have to come, the head is not to be pestered."""
_TELL_S = 30.0
_SETTLE_S = 3.0


@dataclass(frozen=True)
class Reservation:
    """A reserved place, and the machines that it lies on (ids, by worker)."""

    place: Place
    nodes: tuple[str, ...]


@contextlib.contextmanager
def reservation(compute: ComputeConfig, on_event: OnEvent) -> Iterator[Reservation]:
    """Room for `compute.workers`, reserved inside. What waits here is what an autoscaler starts machines for.

    Raises:
        WorkersLost: the cluster made none within `compute.wait_s`.
    """
    began, told = time.monotonic(), 0.0
    wanted: Place | None = None
    group: Any = None
    try:
        while True:
            waited = time.monotonic() - began
            better = _size(compute, settled=waited > _SETTLE_S)
            if better != wanted:
                _release(group)
                wanted, group = better, _reserve(better)
            if _is_made(group):
                break
            if waited > compute.wait_s:
                raise WorkersLost(f"{_told(wanted)}; no room after {compute.wait_s:g} s (compute.wait_s)")
            if waited > _SETTLE_S and time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                on_event(Message(f"waiting for room: {_told(wanted)}", "warning"))
            threading.Event().wait(_LOOK_S if waited < _SETTLE_S else _WAIT_S)
        yield Reservation(wanted, _nodes(group))
    finally:
        _release(group)


def wishes(reserved: Place, compute: ComputeConfig) -> list[Any]:
    """A reservation for each worker that `compute` allows beyond those of `reserved`: one that Ray can fulfil is room
    for another worker."""
    return [_reserve(Place(1, reserved.resources)) for _ in range(compute.max_workers - reserved.workers)]


def fulfilled(wished: list[Any]) -> int:
    """How many of the wishes hold room by now."""
    return sum(_is_made(group) for group in wished)


def forget(wished: list[Any]) -> None:
    """Give back what the wishes hold."""
    for group in wished:
        _release(group)


def _size(compute: ComputeConfig, settled: bool) -> Place:
    """What to ask for: all that is wanted, or once things have settled, what is free at the moment if that is enough."""
    found = [machine for machine in machines() if not machine.leaves]
    all_of = [machine.size for machine in found]
    with contextlib.suppress(ConfigError):
        return place(compute, all_of, [machine.free for machine in found] if settled else None)
    return min_resources(compute, all_of)


def _told(wanted: Place) -> str:
    return f"{wanted}; {sizes([machine.size for machine in machines() if not machine.leaves])}"


def _reserve(wanted: Place) -> Any:
    from ray.util.placement_group import placement_group

    return placement_group([wanted.resources] * wanted.workers, strategy="PACK")


def _is_made(group: Any) -> bool:
    """True once Ray has reserved it; its own `wait` takes whole seconds only."""
    from ray.util.placement_group import placement_group_table

    return bool(placement_group_table(group)["state"] == "CREATED")


def _release(group: Any) -> None:
    from ray.util.placement_group import remove_placement_group

    if group is not None:
        remove_placement_group(group)


def _nodes(group: Any) -> tuple[str, ...]:
    from ray.util.placement_group import placement_group_table

    bundles = placement_group_table(group)["bundles_to_node_id"]
    return tuple(bundles[index] for index in sorted(bundles))
