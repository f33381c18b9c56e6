"""Override keys of an experiment: one pure function for `--set`, the search and retraining."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from raytl.config import shape
from raytl.config.build import PLACEHOLDERS, Origin, build, path_of, value_at
from raytl.config.predict import PredictConfig, PredictOptions
from raytl.config.problems import Problem, config_error
from raytl.config.rules import conflicts, idle
from raytl.config.schema import SHORTHANDS, Experiment
from raytl.config.source import Path, SourceError, dotted, inline
from raytl.errors import ConfigError


def override(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return `experiment` with `values` (by dotted key) in place of its own, validated; the original is unchanged.

    Keys of the original that the overrides make idle are reset to their defaults. Raises a ConfigError with every problem.
    """
    raw = experiment.model_dump(exclude_unset=True)
    problems = put_all(raw, values, "override")
    origin = Origin(f"experiment {experiment.name}", {}, frozenset(map(path_of, values)), "override")
    result, more = build(raw, origin)
    if result is None or problems:
        raise config_error(origin.name, [*problems, *more])
    return result


def with_defaults(experiment: Experiment, defaults: Mapping[str, Any]) -> Experiment:
    """Return `experiment` with `defaults` (by dotted key) in the keys that are not set; the same object if all are.

    Defaults that cannot take effect beside the keys that are set, or contradict them, are left out.
    """
    raw = experiment.model_dump(exclude_unset=True)
    missing = {key: value for key, value in defaults.items() if not value_at(raw, path_of(key))[0]}
    while missing:
        trial = copy.deepcopy(raw)
        put_all(trial, missing, "default")
        whole = Experiment.model_validate(trial)
        useless = {one.key for one in idle(whole)} | {key for one in conflicts(whole) for key in one.keys}
        if not useless & set(missing):
            return override(experiment, missing)
        missing = {key: value for key, value in missing.items() if key not in useless}
    return experiment


def with_options(config: PredictConfig, options: PredictOptions) -> PredictConfig:
    """Return `config` with the `options` that are not None, validated. Raises a ConfigError with every problem."""
    given = {f"predict.{key}": value for key, value in options.items() if value is not None}
    raw: dict[str, Any] = {**PLACEHOLDERS, "predict": config.model_dump()}
    problems = put_all(raw, given, "option")
    result, more = build(raw, Origin("predict", {}, frozenset(map(path_of, given)), "option"))
    if result is None or problems:
        raise config_error("predict", [*problems, *more])
    return result.predict


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return the key and the value of `a.b=value`; the value is read by `inline`. Raises a ConfigError for other text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or any(not part for part in key.strip().split(".")):
        raise ConfigError(f"--set {text}: expected a.b=value, such as --set optim.lr=1e-3")
    try:
        return key.strip(), inline(value)
    except SourceError as error:
        quoted = shlex.quote(f"{key.strip()}={json.dumps(value.strip(), ensure_ascii=False)}")
        raise ConfigError(
            f"--set {text}: the value is {error.fault}; put it in quotes if it is text: --set {quoted}"
        ) from error


def assignments(overrides: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides by dotted key, from `a.b=value` texts or from a mapping; the last one of a key counts.

    Raises a ConfigError with every text that is not an assignment.
    """
    if isinstance(overrides, Mapping):
        return dict(overrides)
    values: dict[str, Any] = {}
    faults = []
    for text in overrides:
        try:
            key, value = parse_assignment(text)
            values[key] = value
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return values


def by_leaf(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides with a value for each key that a section names: `data: {val_fraction: 0.1}` is `data.val_fraction: 0.1`."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and shape.keys_of(path_of(key)):
            leaves |= by_leaf({f"{key}.{inner}": one for inner, one in value.items()})
        elif isinstance(value, str) and key in SHORTHANDS:
            leaves[f"{key}.{SHORTHANDS[key]}"] = value
        else:
            leaves[key] = value
    return leaves


def put_all(raw: dict[str, Any], values: Mapping[str, Any], label: str) -> list[Problem]:
    """Write out the shorthands in `raw` and set every value; return the problems of values that have no place."""
    for section, key in SHORTHANDS.items():
        if isinstance(raw.get(section), str):
            raw[section] = {key: raw[section]}
    return [problem for key, value in values.items() if (problem := _put(raw, path_of(key), value, label))]


def _put(raw: dict[str, Any], path: Path, value: Any, label: str) -> Problem | None:
    """Set one value; a mapping given for a section sets the keys that it names and leaves the others."""
    if len(path) == 1 and isinstance(value, str) and path[0] in SHORTHANDS:
        path = (path[0], SHORTHANDS[str(path[0])])
    for length in range(1, len(path)):
        there, inner = value_at(raw, path[:length])
        if there and inner is not None and not isinstance(inner, dict) and shape.node_at(path) is None:
            outer = dotted(path[:length])
            return Problem(
                f"{label} {dotted(path)}",
                dotted(path),
                f"unknown key; {outer} is a value, not a section",
                f"set {outer}",
            )
    parent: dict[str, Any] = raw
    for part in path[:-1]:
        if not isinstance(parent.get(str(part)), dict):
            parent[str(part)] = {}
        parent = parent[str(part)]
    last = str(path[-1])
    if isinstance(value, Mapping) and shape.keys_of(path) and isinstance(parent.get(last), dict):
        parent[last] = {**parent[last], **value}
    else:
        parent[last] = copy.deepcopy(value)
    return None
