"""The settings of an experiment that change its training images, and those that the trials of a sweep may have."""

from __future__ import annotations

from itertools import product
from typing import Any, TypeAlias

from raytl.config.schema import Experiment

KEYS: tuple[str, ...] = ("labels.noise", "few.method", "adapt.method")
"""The dotted keys of label methods, in the order in which they apply; the value `none` of each changes nothing."""
Settings: TypeAlias = tuple[Any, ...]
"""A value for each of `KEYS`."""


def settings_of(experiment: Experiment) -> Settings:
    """Return the settings of `experiment`."""
    return tuple(_value(experiment, key) for key in KEYS)


def searched_settings(experiment: Experiment) -> tuple[Settings, ...]:
    """Return the settings of `experiment` and of all trials that its `search.space` allows, each once."""
    own, space = settings_of(experiment), experiment.search.space or {}
    choices = [(value, *space.get(key, {}).get("choice", ())) for key, value in zip(KEYS, own, strict=True)]
    return tuple(dict.fromkeys(product(*choices)))


def has_methods(experiment: Experiment) -> bool:
    """Return whether the experiment or a trial of it may change its training images."""
    return any(value != "none" for settings in searched_settings(experiment) for value in settings)


def _value(experiment: Experiment, key: str) -> Any:
    value: Any = experiment
    for name in key.split("."):
        value = getattr(value, name)
    return value
