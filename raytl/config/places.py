"""Where the work of an experiment is kept: below `storage.uri`, its run, its sweep, and the run of the sweep's winner; and
its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytl.errors import ConfigError

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


def registry_uri(experiment: Experiment) -> str:
    """Return where the experiment's versions go.

    Raises:
        ConfigError: `retrain.registry` is not set.
    """
    if experiment.retrain.registry is None:
        raise ConfigError(
            "retrain.registry: not set; name the folder or s3:// prefix that the versions of this model go to, such as "
            f"s3://bucket/models/{experiment.name}"
        )
    return experiment.retrain.registry


def _below(experiment: Experiment, name: str) -> str:
    return f"{experiment.storage.uri.rstrip('/')}/{name}"
