"""Turn raw values into an `Experiment`: one path, with the same rules and errors, for a file and for Python arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from raytl.config import credentials, section
from raytl.config.build import Origin, build, path_of
from raytl.config.document import repeated
from raytl.config.environment import interpolate
from raytl.config.override import put_all
from raytl.config.problems import Problem, config_error
from raytl.config.schema import Experiment
from raytl.config.section import Section
from raytl.config.source import Source, dotted
from raytl.home import expanded

_PATHS = (("data", "uri"), ("model", "weights"), ("storage", "uri"))


def resolved(source: Source, name: str, values: Mapping[str, Any], label: str) -> Experiment:
    """Return the experiment in `source`, with `values` (by dotted key) set and each `${VAR}` read from the environment.

    Raises:
        ConfigError: every problem at once; the text calls the source `name` and the values `label`.
    """
    origin = Origin(name, source.lines, frozenset(map(path_of, values)), label)
    problems = [repeated(name, *place) for place in source.repeated]
    raw = source.value
    problems += put_all(raw, values, label)
    references = dict(credentials.by_reference(raw, os.environ))
    raw, faults = interpolate(raw, os.environ)
    secret = {**dict(credentials.of_environment(raw, os.environ)), **references}
    problems += [_secret(origin, path, fault) for path, fault in secret.items()]
    problems += [_unset(origin, path, fault) for path, fault in faults.items()]
    result, more = build(_at_home(raw), origin, frozenset(faults) | frozenset(secret))
    problems += more
    if result is None or problems:
        raise config_error(name, sorted(problems, key=lambda problem: _order(problem, origin)))
    return result


def constructed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked values of `Experiment(**values)`.

    Raises:
        ConfigError: every problem at once.
    """
    raw: dict[str, Any] = _plain(values)
    return resolved(Source(raw, {}, ()), "Experiment", {}, "").model_dump(exclude_unset=True)


section.construct = constructed


def _plain(value: Any) -> Any:
    """Return the value as a YAML parser would: sections and mappings as dicts, tuples as lists, paths as text."""
    if isinstance(value, Section):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return str(value) if isinstance(value, PurePath) else value


def _at_home(raw: dict[str, Any]) -> dict[str, Any]:
    """Return `raw` with `~` expanded where a path is expected."""
    for outer, key in _PATHS:
        inner = raw.get(outer)
        if isinstance(inner, dict) and isinstance(inner.get(key), str) and inner[key].startswith("~"):
            raw = raw | {outer: inner | {key: str(expanded(inner[key]))}}
    return raw


def _unset(origin: Origin, path: tuple[str | int, ...], fault: str) -> Problem:
    return Problem(origin.where(path), dotted(path), fault, "set it, or write ${NAME:-default}")


def _secret(origin: Origin, path: tuple[str | int, ...], fault: str) -> Problem:
    return Problem(origin.where(path), dotted(path), fault, credentials.advice(dotted(path)))


def _order(problem: Problem, origin: Origin) -> tuple[bool, int]:
    """Sort the problems of the file by line, then those of the overrides."""
    line = problem.where.removeprefix(f"{origin.name}:")
    is_override = bool(origin.label) and problem.where.startswith(origin.label)
    return is_override, int(line) if line.isdigit() else 0
