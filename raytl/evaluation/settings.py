"""Apply the settings of this machine to an evaluation, and report the settings of the run, which are ignored."""

from __future__ import annotations

from raytl.config.machine import ALONE, SETTINGS, Machine
from raytl.config.stored import StoredExperiment
from raytl.data.manifest import listed
from raytl.events import Message, OnEvent


def in_force(machine: Machine | None, device: str | None = None, workers: int = 1) -> Machine:
    """Return `machine` with `device` set; None is a machine of defaults.

    Raises:
        ConfigError: a setting cannot take effect with so many workers.
    """
    settings = Machine() if machine is None else machine
    if device is not None:
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"device": device})})
    if workers == 1:
        settings.check_alone()
    return settings


def tell_ignored(stored: StoredExperiment, machine: Machine, workers: int, on_event: OnEvent) -> None:
    """Report which settings and keys of a stored experiment are ignored."""
    if line := stored.ignored(machine, ALONE if workers == 1 else SETTINGS):
        on_event(Message(line, "warning"))
    if stored.unknown:
        keys = listed(stored.unknown)
        on_event(Message(f"ignoring keys that this version of raytl does not know:\n{keys}", "warning"))
