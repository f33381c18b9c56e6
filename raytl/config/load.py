"""An experiment file becomes an `Experiment`, or one error with every problem in it and where each is.

Only the command line and the public API load here, what the user named: `raytl.config.stored` reads what is fetched.

Paths inside are relative to the current directory, `~` is the home directory, `${VAR}` the environment's.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config import credentials
from raytl.config.build import Origin, build, path_of
from raytl.config.document import document, repeated
from raytl.config.environment import interpolate
from raytl.config.home import expanded
from raytl.config.machine import SETTINGS, Machine
from raytl.config.override import assignments, put_all
from raytl.config.problems import Problem, config_error, near_miss
from raytl.config.schema import Experiment
from raytl.config.source import Source, dotted
from raytl.errors import ConfigError

_PATHS = (("data", "uri"), ("model", "weights"), ("storage", "uri"))


def load_experiment(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Experiment:
    """The experiment in the YAML file at `path`, with `overrides` (`a.b=value` texts, or values by dotted key) set.

    Raises ConfigError with every problem at once.
    """
    values = assignments(overrides)
    return _resolved(document(_text(Path(path)), str(path)), str(path), values, _label(overrides))


def experiment_of(
    values: Mapping[str, Any], name: str, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Experiment:
    """Return the experiment in plain `values` by section and key, which errors call `name`, with `overrides` set.

    Raises:
        ConfigError: with every problem at once.
    """
    source = Source(copy.deepcopy(dict(values)), {}, ())
    return _resolved(source, name, assignments(overrides), _label(overrides))


def load_machine(overrides: Sequence[str] | Mapping[str, Any] = ()) -> Machine:
    """Return the settings of this machine that `overrides` (`a.b=value` texts, or values by dotted key) give; defaults else.

    Raises:
        ConfigError: a key that is no setting of a machine, or a value that is wrong; every problem at once.
    """
    values = assignments(overrides)
    label = _label(overrides)
    strange = [_no_setting(key, label) for key in values if key not in SETTINGS]
    if strange:
        raise config_error("settings of this machine", strange)
    raw: dict[str, Any] = {"name": "x", "data": {"uri": "x"}, "model": {"name": "x"}}
    return Machine.of(_resolved(Source(raw, {}, ()), "settings of this machine", values, label))


def _no_setting(key: str, label: str) -> Problem:
    near = near_miss(key, SETTINGS)
    expected = "storage.*, data.max_pixels, or compute.* but for the number of workers"
    fault = f"not a setting of a machine; expected {expected}"
    return Problem(f"{label} {key}", key, fault, f"did you mean {near}?" if near else "the rest is the run's own")


def _resolved(source: Source, name: str, values: Mapping[str, Any], label: str) -> Experiment:
    """The experiment in `source`, with `values` by dotted key set and the environment's in the place of `${VAR}`."""
    origin = Origin(name, source.lines, frozenset(map(path_of, values)), label)
    problems = [repeated(name, *found) for found in source.repeated]
    raw = source.value
    problems += put_all(raw, values, label)
    references = dict(credentials.by_reference(raw, os.environ))
    raw, faults = interpolate(raw, os.environ)
    secret = {**dict(credentials.of_environment(raw, os.environ)), **references}
    problems += [_secret(origin, where, fault) for where, fault in secret.items()]
    problems += [_unset(origin, where, fault) for where, fault in faults.items()]
    result, more = build(_at_home(raw), origin, frozenset(faults) | frozenset(secret))
    problems += more
    if result is None or problems:
        raise config_error(name, sorted(problems, key=lambda problem: _order(problem, origin)))
    return result


def _label(overrides: Sequence[str] | Mapping[str, Any]) -> str:
    return "override" if isinstance(overrides, Mapping) else "--set"


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


def _unset(origin: Origin, path: tuple[str | int, ...], fault: str) -> Problem:
    return Problem(origin.where(path), dotted(path), fault, "set it, or write ${NAME:-default}")


def _secret(origin: Origin, path: tuple[str | int, ...], fault: str) -> Problem:
    return Problem(origin.where(path), dotted(path), fault, credentials.advice(dotted(path)))


def _order(problem: Problem, origin: Origin) -> tuple[bool, int]:
    """Problems of the file by line, then those of the overrides."""
    line = problem.where.removeprefix(f"{origin.name}:")
    return problem.where.startswith(origin.label), int(line) if line.isdigit() else 0
