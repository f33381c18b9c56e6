"""The settings of this machine that an evaluation follows, and a word on those of the run, which it does not."""

from __future__ import annotations

from raytl.config.machine import ALONE, SETTINGS, Machine
from raytl.config.stored import StoredExperiment
from raytl.data.manifest import listed
from raytl.events import Message, OnEvent


def in_force(machine: Machine | None, device: str | None = None, workers: int = 1) -> Machine:
    """Return `machine` with `device` in the place of its own; None is a machine of defaults.

    Raises:
        ConfigError: a setting cannot take effect with so many workers.
    """
    found = Machine() if machine is None else machine
    if device is not None:
        found = found.model_copy(update={"compute": found.compute.model_copy(update={"device": device})})
    if workers == 1:
        found.check_alone()
    return found


def tell_ignored(stored: StoredExperiment, machine: Machine, workers: int, on_event: OnEvent) -> None:
    """Say which settings and keys of a stored experiment are not followed, if there are any."""
    if line := stored.ignored(machine, ALONE if workers == 1 else SETTINGS):
        on_event(Message(line, "warning"))
    if stored.unknown:
        keys = listed(stored.unknown)
        on_event(Message(f"the run has keys that this version of raytl does not know; ignored:\n{keys}", "warning"))
