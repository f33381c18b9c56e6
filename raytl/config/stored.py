"""Read a stored experiment: that of a run, a version or a sweep, which may come from anywhere.

It is a recipe without settings of a machine: nothing in it selects a cluster, an endpoint, credentials, a limit or a
webhook. Such keys are kept as text, to be shown and never applied.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytl.config import rules, shape
from raytl.config.build import Origin
from raytl.config.document import document, repeated
from raytl.config.environment import literal
from raytl.config.explain import explained, stray_switches
from raytl.config.machine import Machine, assignment, default
from raytl.config.problems import Problem, config_error
from raytl.config.renamed import translated
from raytl.config.schema import Experiment, Recipe
from raytl.config.section import Section
from raytl.config.source import dotted
from raytl.errors import ConfigError
from raytl.sanitize import redacted

MOST_BYTES = 1 << 20
"""Size limit of a stored experiment; one with a weight for each of 10,000 classes has a third of it."""
_MOST_CHARACTERS = 4096
_MOST_SHOWN = 20
Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class StoredExperiment:
    """The `recipe` of a stored experiment, and the keys that are not applied.

    `settings` are those of the machine it was made on, by dotted key; `unknown` are keys that this version of raytl does
    not have.
    """

    recipe: Recipe
    settings: Mapping[str, str | float | bool]
    unknown: tuple[str, ...]

    def ignored(self, machine: Machine, keys: Sequence[str]) -> str:
        """Return one line about the settings at `keys` that differ from those of `machine`; empty if none does."""
        differing = [
            (key, self.settings[key])
            for key in keys
            if key in self.settings and self.settings[key] not in (default(key), machine.value(key))
        ]
        if not differing:
            return ""
        values = ", ".join(redacted(f"{key} {value}") for key, value in differing)
        words = " ".join(f"--set {shlex.quote(redacted(assignment(key, value)))}" for key, value in differing)
        pronoun = "it" if len(differing) == 1 else "them"
        return f"the run was made with {values}; ignored, because a run changes no setting of this machine; pass {words} to use {pronoun}"


def stored_experiment(path: Path) -> StoredExperiment:
    """Return the stored experiment in the file at `path`.

    Raises:
        ConfigError: it cannot be read, is too large, or is not a recipe; every problem at once, by file, line and key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; expected a stored experiment") from error
    return read_stored(content, str(path))


def read_stored(content: bytes, name: str) -> StoredExperiment:
    """Return the stored experiment in `content`, which errors call `name`; see `stored_experiment`."""
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{name}: larger than {MOST_BYTES} bytes; expected a stored experiment")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text (byte {error.start}); expected a stored experiment") from error
    source = document(text, name)
    recipe, settings, unknown = _sorted(translated(source.value))
    origin = Origin(name, source.lines)
    problems = [repeated(name, *repeat) for repeat in source.repeated]
    problems += [
        Problem(origin.where(path), dotted(path), fault) for path, value in _leaves(recipe) if (fault := _fault(value))
    ]
    if not problems:
        recipe, faults = literal(recipe)
        problems = [Problem(origin.where(path), dotted(path), fault) for path, fault in faults.items()]
    if problems:
        raise _error(name, problems)
    return StoredExperiment(_recipe(recipe, origin), settings, unknown)


def on_this_machine(recipe: Recipe, machine: Machine) -> Experiment:
    """Return `recipe` as an experiment for this process alone, with the settings of `machine`."""
    raw = recipe.model_dump(exclude_unset=True)
    raw["data"] |= {"max_pixels": machine.max_pixels}
    raw["compute"] = {"device": machine.compute.device, "cluster": "none"}
    return Experiment.model_validate(raw | {"storage": machine.storage.model_dump(exclude_unset=True)})


def _recipe(raw: dict[str, Any], origin: Origin) -> Recipe:
    problems = stray_switches(raw, origin.where)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise _error(origin.name, [*problems, *explained(error, raw, origin.where)]) from error
    problems += [
        Problem(origin.where(tuple(each.keys[0].split("."))), each.keys[0], each.fault)
        for each in rules.conflicts_in(recipe)
    ]
    if problems:
        raise _error(origin.name, problems)
    return recipe


def _error(name: str, problems: Sequence[Problem]) -> ConfigError:
    more = len(problems) - _MOST_SHOWN
    rest = [Problem(name, "", f"and {more} more problems")] if more > 0 else []
    return config_error(name, [*problems[:_MOST_SHOWN], *rest])


def _sorted(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str | float | bool], tuple[str, ...]]:
    """Return the recipe's own values, the settings of a machine, and the keys that are neither."""
    recipe = _of_section(raw, Recipe)
    settings: dict[str, str | float | bool] = {}
    unknown: list[str] = []
    for path in _strangers(raw, Recipe, ()):
        value = raw
        for part in path:
            value = value[part]
        if shape.node_at(path) is None:
            unknown.append(dotted(path))
            continue
        leaves = ((dotted((*path, *inner)), leaf) for inner, leaf in _leaves(value))
        settings |= {key: leaf for key, leaf in leaves if _is_scalar(leaf)}
    return recipe, settings, tuple(unknown)


def _of_section(raw: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    """Return the values of `raw` whose keys `section` has, also in its subsections."""
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key in section.model_fields:
            inner = _section_at(section, key)
            values[key] = _of_section(value, inner) if inner and isinstance(value, dict) else value
    return values


def _strangers(raw: Mapping[str, Any], section: type[Section], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the values in `raw` whose keys `section` does not have."""
    for key, value in raw.items():
        inner = _section_at(section, key)
        if key not in section.model_fields:
            yield (*path, key)
        elif inner and isinstance(value, dict):
            yield from _strangers(value, inner, (*path, key))


def _section_at(section: type[Section], key: str) -> type[Section] | None:
    annotation = section.model_fields[key].annotation if key in section.model_fields else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _leaves(raw: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    if isinstance(raw, (dict, list)):
        for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
            yield from _leaves(value, (*path, key))
    else:
        yield path, raw


def _fault(value: Any) -> str:
    """Return the fault of a value at any path; empty if there is none."""
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        return f"found a text of {len(value)} characters; expected {_MOST_CHARACTERS} at most"
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return "found an unpaired surrogate; expected text"
    return ""


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) and not _fault(value)
