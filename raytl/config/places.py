"""Where the work of an experiment is kept: below `storage.uri`, its run, its sweep, and the run of the sweep's winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raytl.config.schema import Experiment


def run_uri(experiment: Experiment) -> str:
    """Where `experiment` runs: `<storage.uri>/<name>`."""
    return _below(experiment, experiment.name)


def sweep_uri(experiment: Experiment) -> str:
    """Where the sweep of `experiment` is kept."""
    return _below(experiment, f"{experiment.name}-sweep")


def winner_name(experiment: Experiment) -> str:
    """What the experiment of the sweep's winner is called."""
    return f"{experiment.name}-winner"


def winner_uri(experiment: Experiment) -> str:
    """Where the sweep's winner runs: what `raytl evaluate` takes after `raytl tune`."""
    return _below(experiment, winner_name(experiment))


def _below(experiment: Experiment, name: str) -> str:
    return f"{experiment.storage.uri.rstrip('/')}/{name}"
