"""Read an experiment file into an `Experiment`, or raise one error with every problem and its place.

Only the command line and the public API load files here: ones that the user named. `raytl.config.stored` reads what is fetched.

Paths inside are relative to the current directory, `~` is the home directory, `${VAR}` the environment's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytl.config.document import document
from raytl.config.machine import SETTINGS, Machine
from raytl.config.override import assignments
from raytl.config.problems import Problem, config_error, near_miss
from raytl.config.resolve import resolved
from raytl.config.schema import Experiment
from raytl.config.source import Source
from raytl.errors import ConfigError


def load_experiment(path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Experiment:
    """Return the experiment in the YAML file at `path`, with `overrides` (`a.b=value` texts, or values by dotted key) set.

    Raises:
        ConfigError: every problem at once.
    """
    values = assignments(overrides)
    return resolved(document(_text(Path(path)), str(path)), str(path), values, _label(overrides))


def experiment_of(
    values: Mapping[str, Any], name: str, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> Experiment:
    """Return the experiment in plain `values` by section and key, which errors call `name`, with `overrides` set.

    Raises:
        ConfigError: with every problem at once.
    """
    source = Source(copy.deepcopy(dict(values)), {}, ())
    return resolved(source, name, assignments(overrides), _label(overrides))


def load_machine(overrides: Sequence[str] | Mapping[str, Any] = ()) -> Machine:
    """Return the machine settings in `overrides` (`a.b=value` texts, or values by dotted key); the others are defaults.

    Raises:
        ConfigError: a key that is not a machine setting, or a wrong value; every problem at once.
    """
    values = assignments(overrides)
    label = _label(overrides)
    strange = [_no_setting(key, label) for key in values if key not in SETTINGS]
    if strange:
        raise config_error("settings of this machine", strange)
    raw: dict[str, Any] = {"name": "x", "data": {"uri": "x"}, "model": {"name": "x"}}
    return Machine.of(resolved(Source(raw, {}, ()), "settings of this machine", values, label))


def _no_setting(key: str, label: str) -> Problem:
    near = near_miss(key, SETTINGS)
    expected = "storage.*, data.max_pixels, or compute.* but for the number of workers"
    fault = f"not a machine setting; expected {expected}"
    return Problem(f"{label} {key}", key, fault, f"did you mean {near}?" if near else "other keys belong to the run")


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
        return f"; the folder {path.parent} does not exist either"
    names = [file.name for pattern in ("*.yaml", "*.yml") for file in path.parent.glob(pattern)]
    near = near_miss(path.name, names)
    return f"; did you mean {path.parent / near}?" if near else ""
