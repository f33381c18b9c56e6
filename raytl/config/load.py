"""An experiment file becomes an `Experiment`, or one error with every problem in it and where each is.

Paths inside are relative to the current directory, `~` is the home directory, `${VAR}` the environment's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config.build import Origin, build, dotted, path_of
from raytl.config.environment import interpolate
from raytl.config.home import expanded
from raytl.config.override import assignments, put_all
from raytl.config.problems import Problem, config_error, near_miss
from raytl.config.schema import Experiment
from raytl.config.source import Source, SourceError, parse
from raytl.errors import ConfigError

_PATHS = (("data", "uri"), ("model", "weights"), ("storage", "uri"))


def load_experiment(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Experiment:
    """The experiment in the YAML file at `path`, with `overrides` (`a.b=value` texts, or values by dotted key) set.

    Raises ConfigError with every problem at once.
    """
    return _loaded(Path(path), overrides, os.environ)


def load_resolved(path: str | Path) -> Experiment:
    """The experiment that a run was made with. Its file may come from a bucket, so the environment is kept from it.

    Raises ConfigError with every problem at once.
    """
    return _loaded(Path(path), (), {})


def _loaded(path: Path, overrides: Sequence[str] | Mapping[str, Any], environment: Mapping[str, str]) -> Experiment:
    values = assignments(overrides)
    source = _source(path)
    label = "override" if isinstance(overrides, Mapping) else "--set"
    origin = Origin(str(path), source.lines, frozenset(map(path_of, values)), label)
    problems = [_twice(origin, where, first, second) for where, first, second in source.repeated]
    raw = source.value
    problems += put_all(raw, values, label)
    raw, faults = interpolate(raw, environment)
    problems += [_unset(origin, where, fault) for where, fault in faults.items()]
    result, more = build(_at_home(raw), origin, frozenset(faults))
    problems += more
    if result is None or problems:
        raise config_error(str(path), sorted(problems, key=lambda problem: _order(problem, origin)))
    return result


def _source(path: Path) -> Source:
    try:
        source = parse(_text(path))
    except SourceError as error:
        place = f"{path}:{error.line}" if error.line else str(path)
        raise config_error(str(path), [Problem(place, "", error.fault, error.advice)]) from error
    if source.value is None:
        raise ConfigError(
            f"{path}: the file is empty; expected an experiment with name, data.uri and model.name at least"
        )
    if not isinstance(source.value, dict):
        raise ConfigError(f"{path}:1: found {type(source.value).__name__}, expected keys such as `name: my-run`")
    return source


def _text(path: Path) -> str:
    if path.is_dir():
        inner = path / "experiment.yaml"
        advice = f"this is a run; its experiment is {inner}" if inner.exists() else "name a YAML file in it"
        raise ConfigError(f"{path}: found a folder, expected an experiment file; {advice}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such experiment file{_files_nearby(path)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8 YAML") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _files_nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} is not there either"
    names = [file.name for pattern in ("*.yaml", "*.yml") for file in path.parent.glob(pattern)]
    near = near_miss(path.name, names)
    return f"; did you mean {path.parent / near}?" if near else ""


def _at_home(raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` with the home directory in the place of `~` where a path is expected."""
    for section, key in _PATHS:
        inner = raw.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(key), str) and inner[key].startswith("~"):
            raw = raw | {section: inner | {key: str(expanded(inner[key]))}}
    return raw


def _twice(origin: Origin, path: tuple[str | int, ...], first: int, second: int) -> Problem:
    return Problem(f"{origin.name}:{second}", dotted(path), f"given twice, on lines {first} and {second}", "keep one")


def _unset(origin: Origin, path: tuple[str | int, ...], fault: str) -> Problem:
    return Problem(origin.where(path), dotted(path), fault, "set it, or write ${NAME:-default}")


def _order(problem: Problem, origin: Origin) -> tuple[bool, int]:
    """Problems of the file by line, then those of the overrides."""
    line = problem.where.removeprefix(f"{origin.name}:")
    return problem.where.startswith(origin.label), int(line) if line.isdigit() else 0
