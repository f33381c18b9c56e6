"""Turn raw values into an experiment, or into all problems of single keys and of combinations of keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from raytl.config import rules
from raytl.config.conflict import Conflict, Idle
from raytl.config.explain import explained, stray_switches
from raytl.config.problems import Problem
from raytl.config.schema import Experiment
from raytl.config.source import Path, dotted

PLACEHOLDERS = {"name": "x", "data": {"uri": "x"}, "model": {"name": "x"}}
"""Values of the keys that an experiment must have."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of each key: the file `name` (with the `lines` of its paths), or an override, which errors call `label`."""

    name: str
    lines: Mapping[Path, int]
    overrides: frozenset[Path] = frozenset()
    label: str = "--set"

    def where(self, path: Path) -> str:
        """Return `file:line`, or `--set a.b`, of the value at `path` or of the section around it."""
        for length in range(len(path), -1, -1):
            head = path[:length]
            if head in self.overrides:
                return f"{self.label} {dotted(head)}"
            if head in self.lines:
                return f"{self.name}:{self.lines[head]}"
            if deeper := [given for given in self.overrides if given[:length] == head and head]:
                return f"{self.label} {dotted(min(deeper))}"
        return self.name

    def overridden(self, path: Path) -> bool:
        """Return whether an override gave the value at `path`, the section around it, or a part of it."""
        return any(path[: len(given)] == given or given[: len(path)] == path for given in self.overrides)


def build(
    raw: dict[str, Any], origin: Origin, broken: frozenset[Path] = frozenset()
) -> tuple[Experiment | None, list[Problem]]:
    """Return the experiment in `raw`, or None and every problem; problems at `broken` paths are reported elsewhere.

    A key that cannot take effect is a problem, unless it is in the file and an override made it idle: then it is reset
    to its default, so that `--set transfer.unfreeze=0` works on any file.
    """
    sections = _without_empty_sections(raw)
    problems = [*stray_switches(sections, origin.where), *_validation(sections, origin)]
    problems = [problem for problem in problems if path_of(problem.key) not in broken]
    bad = broken | {path_of(problem.key) for problem in problems}
    whole = _repaired(sections, bad)
    if whole is None:
        return None, problems
    idle_keys = _idle(whole, sections, origin, bad)
    problems += [_idle_problem(one, origin) for one in idle_keys if not _made_idle(one, origin)]
    conflicts = [one for one in rules.conflicts(whole) if not _touches(one, bad) and not _yielding(one, sections)]
    problems += [_conflict_problem(one, sections, origin) for one in conflicts]
    if problems or broken:
        return None, problems
    effective = _given_way(sections, whole)
    for one in idle_keys:
        remove(effective, path_of(one.key))
    return Experiment.model_validate(effective), []


def path_of(key: str) -> Path:
    """Return `train.epochs` as `("train", "epochs")`."""
    return tuple(key.split(".")) if key else ()


def value_at(raw: Any, path: Path) -> tuple[bool, Any]:
    """Return whether there is a value at `path`, and the value."""
    for part in path:
        if not isinstance(raw, Mapping) or part not in raw:
            return False, None
        raw = raw[part]
    return True, raw


def remove(raw: dict[str, Any], path: Path) -> None:
    """Remove the value at `path` from `raw`, if there is one."""
    there, parent = value_at(raw, path[:-1])
    if there and isinstance(parent, dict):
        parent.pop(path[-1], None)


def _without_empty_sections(raw: dict[str, Any]) -> dict[str, Any]:
    """Return `raw` with an empty section (`train:`, all lines commented out) as a section of defaults."""
    fields = Experiment.model_fields
    return {
        key: {}
        if value is None and isinstance(getattr(fields.get(key), "annotation", None), type(Experiment))
        else value
        for key, value in raw.items()
    }


def _validation(raw: dict[str, Any], origin: Origin) -> list[Problem]:
    try:
        Experiment.model_validate(raw)
    except ValidationError as error:
        return explained(error, raw, origin.where)
    return []


def _yielding(conflict: Conflict, raw: dict[str, Any]) -> dict[str, Any]:
    """Return the first key that is not set and the value with which it ends the conflict; empty if all are set."""
    unset = {key: value for key, value in conflict.gives_way.items() if not value_at(raw, path_of(key))[0]}
    return dict(list(unset.items())[:1])


def _given_way(raw: dict[str, Any], whole: Experiment) -> dict[str, Any]:
    """Return the values with those of defaults that give way to what is set; `recipe: auto` chooses them later."""
    raw = copy.deepcopy(raw)
    for conflict in rules.conflicts(whole) if whole.recipe == "none" else ():
        for key, value in _yielding(conflict, raw).items():
            *sections, last = key.split(".")
            parent = raw
            for section in sections:
                parent = parent.setdefault(section, {})
            parent[last] = value
    return raw


def _repaired(raw: dict[str, Any], bad: frozenset[Path]) -> Experiment | None:
    """Return the experiment with defaults in place of the `bad` values, to check the rest; None if that is impossible."""
    whole = copy.deepcopy(raw)
    for path in sorted(bad, key=len, reverse=True):
        remove(whole, path)
    for key, value in PLACEHOLDERS.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            whole[key] = value | whole[key]
        else:
            whole.setdefault(key, value)
    try:
        return Experiment.model_validate(whole)
    except ValidationError:
        return None


def _idle(whole: Experiment, raw: dict[str, Any], origin: Origin, bad: frozenset[Path]) -> list[Idle]:
    return [
        one
        for one in rules.idle(whole)
        if value_at(raw, path_of(one.key))[0] and not {path_of(key) for key in (one.key, *one.causes)} & bad
    ]


def _made_idle(one: Idle, origin: Origin) -> bool:
    by_override = any(origin.overridden(path_of(cause)) for cause in one.causes)
    return by_override and not origin.overridden(path_of(one.key))


def _idle_problem(one: Idle, origin: Origin) -> Problem:
    return Problem(origin.where(path_of(one.key)), one.key, f"cannot take effect: {one.because}", one.advice)


def _touches(conflict: Conflict, bad: frozenset[Path]) -> bool:
    return any(path_of(key) in bad for key in conflict.keys)


def _conflict_problem(conflict: Conflict, raw: dict[str, Any], origin: Origin) -> Problem:
    return Problem(next(_places(conflict, raw, origin)), conflict.keys[0], conflict.fault, conflict.advice)


def _places(conflict: Conflict, raw: dict[str, Any], origin: Origin) -> Iterator[str]:
    """Yield the places of the conflict's keys, the first key first."""
    paths = [path_of(key) for key in conflict.keys]
    yield from (origin.where(path) for path in paths if value_at(raw, path)[0])
    yield origin.name
