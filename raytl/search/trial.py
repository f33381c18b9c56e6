"""A trial is the sweep's experiment with overrides: the experiments and jobs that follow from a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raytl.config.override import override
from raytl.config.schema import Experiment
from raytl.labelling.settings import settings_of
from raytl.search.protocol import Suggestion
from raytl.training.job import TrainJob


def trial_job(sweep: TrainJob, suggestion: Suggestion) -> TrainJob:
    """Return the job of one trial of `sweep`, whose workers have working copies of their own."""
    experiment = trial_experiment(sweep.experiment, suggestion, probe=bool(sweep.probe), location=sweep.location)
    probe = sweep.probe if settings_of(experiment) == settings_of(sweep.experiment) else ""  # else it solves its own
    location = f"{sweep.location}/{suggestion.folder}"
    return replace(sweep, experiment=experiment, location=location, probe=probe, is_guest=True, folds=())


def trial_experiment(base: Experiment, suggestion: Suggestion, *, probe: bool, location: str) -> Experiment:
    """Return `base` with the trial's overrides, epochs, seed and location (below the sweep's `location`).

    With a solved head (`probe`), no epochs train the head alone.

    Raises:
        ConfigError: the overrides contradict `base`.
    """
    values: dict[str, Any] = dict(suggestion.overrides)
    values |= {"name": suggestion.folder, "storage.uri": location, "train.epochs": epochs_of(base)}
    values["train.metric"] = base.search.metrics[0]
    values |= head_of(base) if probe else {}
    if suggestion.seed is not None:
        values["train.seed"] = suggestion.seed
    return override(base, values)


def winner_experiment(base: Experiment, overrides: Mapping[str, Any], name: str) -> Experiment:
    """Return the experiment of a sweep's winner: `base` with its overrides, ready for `raytl train`.

    Raises:
        ConfigError: the overrides contradict `base`.
    """
    values: dict[str, Any] = dict(overrides) | {"name": name, "train.epochs": refit_epochs_of(base)}
    values["train.metric"] = base.search.metrics[0]
    values |= head_of(base)
    return override(base, values)


def full_size(job: TrainJob, experiment: Experiment) -> TrainJob:
    """Return the job of a sweep on images of the size of `experiment`, with a head of its own still to be solved."""
    return replace(job, experiment=experiment, probe="")


def head_of(base: Experiment) -> dict[str, Any]:
    """Return the overrides that make trials start from a solved head, without epochs for the head alone."""
    return {"transfer.head_start": "solved", "transfer.head_first": 0} if base.search.linear_probe else {}


def epochs_of(base: Experiment) -> int:
    """Return the most epochs that a trial may train."""
    return base.search.budget.max_epochs or base.train.epochs


def refit_epochs_of(base: Experiment) -> int:
    """Return the epochs of the winner's refit: by default as long as the experiment trains, and at least as a trial may."""
    return base.search.refit_epochs or max(base.train.epochs, epochs_of(base))


def costs(trainable: int, seconds: float) -> dict[str, float]:
    """Return the objectives that are costs."""
    return {"cost/trainable_parameters": float(trainable), "cost/train_seconds": seconds}
