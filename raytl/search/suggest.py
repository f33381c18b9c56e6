"""The space as Optuna sees it: samplers by name, recipes of the literature as first points, and a trial's values."""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from raytl.config.space import Dimension, Space
from raytl.errors import ConfigError
from raytl.search.cma import CmaEs
from raytl.search.grid import GRIDS, continuous_keys

optuna.logging.set_verbosity(optuna.logging.WARNING)

_SHORT = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
    "grid": "GridSampler",
}
_ONE_OBJECTIVE = ("CmaEsSampler",)
STARTUP = 8
"""Scored trials from which a sampler models them: with the recipes, of ten trials two are modeled, where Optuna's 10 leaves none."""
_GOOD, _MOST_GOOD = 4, 25
"""TPE calls the best of so many trials good, at most the second number: with Optuna's best tenth of a short sweep it would be one."""
_DEPTH = "transfer.unfreeze"
Point = tuple[str, dict[str, Any]]
"""A point of the space with its source in words."""
AS_IT_IS = "the experiment as it is"

RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Kornblith et al. 2019; Yosinski et al. 2014, whose upper layers are the specific ones; Kumar et al. 2022; Howard &
    # Ruder 2018 and Clark et al. 2020 for the decay of rates. In this order: the first is often the best, and what the second
    # can reach is known from the solved head.
    "upper half with decay": {"transfer.unfreeze": "half", "transfer.lr_decay": 0.7},
    "linear probe": {"transfer.unfreeze": 0, "augment.strength": 0.25},
    "last stage": {"transfer.unfreeze": 1},
    "full with decay": {"transfer.unfreeze": "all", "transfer.lr_decay": 0.7},
}
_MIDDLE = {"optim.lr": 2e-3, "transfer.head_lr_ratio": 5.0, "optim.weight_decay": 0.05, "augment.strength": 0.5}


def sampler(name: str, seed: int, space: Space, objectives: int = 1) -> BaseSampler:
    """Return the sampler `name`: a short name, or a class of `optuna.samplers`.

    Raises:
        ConfigError: Optuna has no such sampler, it does not suit the space or the number of `objectives`, or a package that
            it needs is missing.
    """
    wanted = _SHORT.get(name.lower(), name)
    classes = [each for each in optuna.samplers.__all__ if each.endswith("Sampler") and each != "BaseSampler"]
    if wanted not in classes:
        near = difflib.get_close_matches(name.lower(), [*_SHORT, *classes], n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join([*_SHORT, *classes])}"
        raise ConfigError(f"search.sampler: Optuna has no sampler {name!r}; {advice}")
    if wanted in _ONE_OBJECTIVE and objectives > 1:
        text = (
            f"{name} optimizes one objective, and search.metric names {objectives}; set it to tpe or nsga2, or keep one"
        )
        raise ConfigError(f"search.sampler: {text}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _create(wanted, seed, space)
        except ImportError as error:
            text = f"{name} needs a package that is not installed: {error}; install it, or set search.sampler to tpe"
            raise ConfigError(f"search.sampler: {text}") from error
        except TypeError as error:
            raise ConfigError(f"search.sampler: {name} cannot be created by name alone: {error}") from error


def _create(wanted: str, seed: int, space: Space) -> BaseSampler:
    if wanted == "TPESampler":
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=STARTUP, gamma=_good
        )
    if wanted in GRIDS:
        if keys := continuous_keys(space):
            text = f"{wanted} needs a finite space; {', '.join(keys)} is continuous: give choice: [...]"
            raise ConfigError(f"search.sampler: {text}")
        return optuna.samplers.RandomSampler(seed=seed)  # draws nothing: `Guide` suggests the points of the grid
    if wanted == "GPSampler":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False)
    if wanted == "CmaEsSampler":
        import_module("cmaes")  # Optuna imports it when the sampler first models scores, in the middle of the sweep
        return CmaEs(seed=seed)
    other: BaseSampler = getattr(optuna.samplers, wanted)(seed=seed)
    return other


def _good(trials: int) -> int:
    return min(math.ceil(trials / _GOOD), _MOST_GOOD)


def is_model(one: BaseSampler) -> bool:
    """Return True if the sampler models the scores of trials whatever their origin: TPE or GP."""
    return type(one) in (optuna.samplers.TPESampler, optuna.samplers.GPSampler)


def suggest(trial: optuna.Trial, space: Space, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trial's values by dotted key, without those that a condition excludes."""
    values: dict[str, Any] = {}
    for dimension in space.active(values, base):
        values[dimension.key] = _value(trial, dimension)
    return values


def _value(trial: optuna.Trial, dimension: Dimension) -> Any:
    if dimension.kind == "choice":
        return trial.suggest_categorical(dimension.key, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(dimension.key, int(dimension.low), int(dimension.high))
    return trial.suggest_float(dimension.key, dimension.low, dimension.high, log=dimension.kind == "log")


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return the dimension as Optuna stores it with a trial."""
    if dimension.kind == "choice":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.kind == "log")


def center(space: Space, base: Mapping[str, Any], stages: int) -> dict[str, Any]:
    """Return the value of each dimension that is nearest to that of the experiment."""
    own = {**base, _DEPTH: stages if base.get(_DEPTH) == "all" else base.get(_DEPTH)}
    return {d.key: _nearest(d, own[d.key]) for d in space.dimensions if own.get(d.key) is not None}


def with_earlier(points: list[Point], earlier: list[Point], trials: int) -> list[Point]:
    """Return the first points of a sweep of `trials`: the best of `earlier` sweeps come right after the experiment as it is.

    With them, first points beyond half of the trials are left out, in favor of the sampler.
    """
    at = next((index + 1 for index, (name, _) in enumerate(points) if name == AS_IT_IS), 0)
    before = [values for _, values in points[:at]]
    new = [point for point in earlier if point[1] not in before]
    if not new:
        return points[:trials]
    best = [values for _, values in new]
    rest = [point for point in points[at:] if point[1] not in best]
    return [*points[:at], *new, *rest][: min(trials, max(at + len(new), trials // 2))]


def first_points(space: Space, base: Mapping[str, Any], stages: int) -> list[Point]:
    """Return named points of the space: the values of `base`, and the recipes of the literature."""
    keys = [dimension.key for dimension in space.dimensions]
    recipes = [(f"recipe: {name}", recipe) for name, recipe in RECIPES.items() if _DEPTH in keys]
    recipes.insert(0, (AS_IT_IS, {key: base[key] for key in keys if key in base}))
    points: list[Point] = []
    for name, recipe in recipes:
        wanted = {**_MIDDLE, **recipe}
        if isinstance(wanted.get(_DEPTH), str):
            wanted[_DEPTH] = {"all": stages, "half": stages // 2}[wanted[_DEPTH]]
        values: dict[str, Any] = {}
        for dimension in space.active(values, base):
            values[dimension.key] = _nearest(dimension, wanted.get(dimension.key))
        if values.get(_DEPTH) == wanted.get(_DEPTH) and values not in [point for _, point in points]:
            points.append((name, values))
    return points


def _nearest(dimension: Dimension, wanted: Any) -> Any:
    """Return the dimension's value that is nearest to `wanted`, or its middle if `wanted` is None."""
    if dimension.kind == "choice":
        if wanted in dimension.choices:
            return wanted
        numbers = [c for c in dimension.choices if isinstance(c, int | float) and not isinstance(c, bool)]
        if isinstance(wanted, int | float) and numbers:
            return min(numbers, key=lambda choice: abs(choice - wanted))
        return dimension.choices[len(dimension.choices) // 2]
    if not isinstance(wanted, int | float):
        mean = (
            (dimension.low * dimension.high) ** 0.5 if dimension.kind == "log" else (dimension.low + dimension.high) / 2
        )
        wanted = mean
    value = min(max(wanted, dimension.low), dimension.high)
    return round(value) if dimension.kind == "int" else float(value)
