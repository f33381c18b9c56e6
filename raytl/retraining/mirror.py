"""Mirror versions to an MLflow server: the only file that imports it. The registry stays the source of truth."""

from __future__ import annotations

import os
from typing import Any

from raytl.config.retrain import NotifyConfig
from raytl.events import Message, OnEvent
from raytl.registry.reader import folder_of
from raytl.registry.record import Record
from raytl.registry.registry import Registry
from raytl.retraining.ticks import Tick
from raytl.run.plain import for_people


def mirror(registry: Registry, tick: Tick, name: str, config: NotifyConfig, on_event: OnEvent) -> str | None:
    """Log the tick's version as an MLflow run with its metrics and files, and register it as a version of model `name`, tagged
    with its number and with its aliases. Return the run's id; None if nothing was mirrored.

    A failure is a warning.
    """
    if config.mlflow_env is None or tick.version is None:
        return None
    uri = os.environ.get(config.mlflow_env, "")
    if not uri:
        on_event(Message(f"not mirrored: {config.mlflow_env} is not set; expected a tracking URI", "warning"))
        return None
    try:
        return _mirrored(registry, registry.record(tick.version), tick, name, uri)
    except ImportError:
        on_event(Message("not mirrored: MLflow is not installed; pip install 'raytl[mlflow]'", "warning"))
    except Exception as error:  # MLflow's own, and those of its server and store
        on_event(Message(f"not mirrored to MLflow ({type(error).__name__})", "warning"))
    return None


def _mirrored(registry: Registry, record: Record, tick: Tick, name: str, uri: str) -> str:
    from mlflow import MlflowClient

    client: Any = MlflowClient(tracking_uri=uri)
    about = record.about
    existing = client.get_experiment_by_name(name)
    experiment = existing.experiment_id if existing else client.create_experiment(name)
    tags = {"raytl.version": str(record.number), "raytl.tick": tick.id, "raytl.outcome": tick.outcome}
    tags |= {"raytl.snapshot": about.snapshot, "raytl.weights": about.weights, "raytl.registry": registry.uri}
    run = client.create_run(experiment, tags=for_people(tags), run_name=f"{name} {record.number}").info.run_id
    for key, value in about.metrics.items():
        if value is not None:
            client.log_metric(run, key, value)
    client.log_param(run, "model", about.model)
    client.log_artifacts(run, str(folder_of(registry, record)), "version")
    client.set_terminated(run)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{client.get_run(run).info.artifact_uri}/version"
    version = client.create_model_version(name, source, run_id=run, tags={"raytl.version": str(record.number)}).version
    for alias, number in registry.state().aliases.items():
        if number == record.number:
            client.set_registered_model_alias(name, alias, version)
    return str(run)
