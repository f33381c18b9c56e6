"""The URIs of an experiment: its run, its sweep and the run of the sweep's winner below `storage.uri`, and its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytl.errors import ConfigError

if TYPE_CHECKING:
    from raytl.config.schema import Experiment


def run_uri(experiment: Experiment) -> str:
    """Return the URI of the experiment's run: `<storage.uri>/<name>`."""
    return _below(experiment, experiment.name)


def sweep_uri(experiment: Experiment) -> str:
    """Return the URI of the experiment's sweep."""
    return _below(experiment, f"{experiment.name}-sweep")


def winner_name(experiment: Experiment) -> str:
    """Return the name of the experiment of the sweep's winner."""
    return f"{experiment.name}-winner"


def winner_uri(experiment: Experiment) -> str:
    """Return the URI of the winner's run, which `raytl evaluate` takes after `raytl tune`."""
    return _below(experiment, winner_name(experiment))


def registry_uri(experiment: Experiment) -> str:
    """Return the URI of the experiment's registry.

    Raises:
        ConfigError: `retrain.registry` is not set.
    """
    if experiment.retrain.registry is None:
        raise ConfigError(
            "retrain.registry: not set; expected the folder or s3:// prefix of this model's versions, such as "
            f"s3://bucket/models/{experiment.name}"
        )
    return experiment.retrain.registry


def _below(experiment: Experiment, name: str) -> str:
    return f"{experiment.storage.uri.rstrip('/')}/{name}"
