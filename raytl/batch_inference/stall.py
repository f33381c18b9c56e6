"""Decide whether a batch is stuck, and say what it waits for. Pure: the caller brings the clock and what Ray reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytl.batch_inference.sizing import Sizing
from raytl.cluster.placement import Size

REPORT_EVERY_S = 30.0
"""Seconds between two messages about what a batch waits for."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of a batch: the actors that have started, how long nothing moved, and the machines' CPUs and GPUs.

    `had_room` says whether an actor had its resources when the batch began: what is not free now may be its own.
    `current` has the parts in progress, with the number of their photos that are done.
    """

    started: int
    had_room: bool
    idle_s: float
    machines: Sequence[Size]
    free: Sequence[Size]
    current: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """The longest wait for the first actor, and without progress after that."""

    start_s: float
    progress_s: float


def waits_for(seen: Situation, wanted: Sizing) -> str:
    """Return what the batch waits for, and for which resources."""
    if seen.started:
        parts = ", ".join(f"{name} ({done} photos done)" for name, done in sorted(seen.current.items())[:8])
        return f"no photo was finished for {seen.idle_s:.0f} s by {seen.started} of {wanted}; in progress: {parts or 'no part'}"
    free_text = ", ".join(_free_text(size, free) for size, free in zip(seen.machines, seen.free, strict=True))
    is_loading = seen.had_room or fits(seen.free, wanted)
    why = "its process starts and loads the model" if is_loading else "something else holds the CPUs or GPUs"
    return f"no actor has started for {seen.idle_s:.0f} s; wanted: {wanted}; free: {free_text or 'no machine'}; {why}"


def fits(free: Sequence[Size], wanted: Sizing) -> bool:
    """Return whether an actor has its resources on one of the machines."""
    return any(cpus >= wanted.cpus and gpus >= wanted.gpus for cpus, gpus in free)


def is_stuck(seen: Situation, limits: Limits) -> bool:
    """Return whether the batch has waited too long."""
    return seen.idle_s > (limits.progress_s if seen.started else limits.start_s)


def _free_text(size: Size, free: Size) -> str:
    gpus = f" and {free[1]:g} of {size[1]:g} GPUs" if size[1] else ""
    return f"{free[0]:g} of {size[0]:g} CPUs{gpus}"
