"""Translate pydantic's errors: the place, the value found, what was expected, and the likely intention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from raytl.config import shape
from raytl.config.problems import Problem, near_miss
from raytl.config.renamed import RENAMED
from raytl.config.source import Path

Where = Callable[[Path], str]


def explained(error: ValidationError, raw: Mapping[str, Any], where: Where) -> list[Problem]:
    """Return one problem for each wrong key, in the order of the file."""
    kinds: dict[Path, str] = {}
    for detail in error.errors(include_url=False, include_context=False):
        kinds.setdefault(_path(detail["loc"], raw, detail["type"]), detail["type"])
    deepest = [path for path in kinds if not any(other != path and other[: len(path)] == path for other in kinds)]
    return [_problem(path, kinds[path], raw, where) for path in deepest]


def stray_switches(raw: Mapping[str, Any], where: Where) -> list[Problem]:
    """Return the problems of true and false in place of a number, which pydantic would read as 1 and 0."""
    return [
        Problem(where(path), _dotted(path), *_mismatch(path, value))
        for path, value in _values(raw, ())
        if isinstance(value, bool) and not shape.accepts_switch(path) and not shape.choices_at(path)
    ]


def found(value: Any) -> str:
    """Return a value as the user wrote it, in words."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, Mapping):
        return f"a mapping with the keys {', '.join(map(str, value))}" if value else "an empty mapping"
    return f"a list of {len(value)}" if isinstance(value, Sequence) else str(value)


def _path(location: tuple[str | int, ...], raw: Any, kind: str) -> Path:
    """Return pydantic's location without the names of union members, which are not keys."""
    path: list[str | int] = []
    for number, part in enumerate(location):
        last_missing = kind == "missing" and number == len(location) - 1
        here = (isinstance(raw, Mapping) and part in raw) or (isinstance(raw, (list, tuple)) and isinstance(part, int))
        if here or last_missing:
            path.append(part)
            raw = raw[part] if here and not (isinstance(part, int) and part >= len(raw)) else None
    return tuple(path)


def _problem(path: Path, kind: str, raw: Mapping[str, Any], where: Where) -> Problem:
    if kind == "extra_forbidden":
        return Problem(where(path), _dotted(path), *_unknown(path))
    if kind == "missing":
        fault = f"missing; expected {shape.expectation(path)}"
        return Problem(where(path), _dotted(path), fault, _meaning(path))
    value: Any = raw
    for part in path:
        value = value[part]
    return Problem(where(path), _dotted(path), *_mismatch(path, value))


def _unknown(path: Path) -> tuple[str, str]:
    if new := RENAMED.get(_dotted(path)):
        return f"renamed to {new}", f"write {new} instead"
    section = f"in {_dotted(path[:-1])}" if len(path) > 1 else "at the top level"
    keys = ", ".join(shape.known_keys(path[:-1]))
    advice = shape.right_key(path) or "remove it"
    return f"unknown key; the keys {section} are {keys}", advice


def _mismatch(path: Path, value: Any) -> tuple[str, str]:
    fault = f"found {found(value)}; expected {shape.expectation(path)}"
    return fault, _tip(path, value) or _meaning(path)


def _meaning(path: Path) -> str:
    text = shape.description(path)
    return f"{path[-1]}: {text}" if text else ""


def _tip(path: Path, value: Any) -> str | None:
    words = shape.choices_at(path)
    if isinstance(value, bool):
        word = "on" if value else "off"
        return f"did you mean {word!r}?" if word in words else None
    if isinstance(value, (int, float)):
        return _number_tip(path, value)
    if value is None and "none" in words:
        return "did you mean 'none'?"
    if not isinstance(value, str):
        return None
    if value.lower() in ("none", "off", "no") and shape.accepts_type(path, "null"):
        return "write null to switch it off"
    near = near_miss(value, words)
    return f"did you mean {near!r}?" if near else None


def _number_tip(path: Path, value: float) -> str | None:
    if shape.accepts_type(path, "string"):
        return f"put it in quotes: '{value}'"
    share = shape.most(path) == 1 and 2 <= value <= 100
    return f"did you mean {value / 100:g}? It is a fraction, not a percentage" if share else None


def _values(raw: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _values(value, (*path, key))
    elif isinstance(raw, (list, tuple)):
        for number, value in enumerate(raw):
            yield from _values(value, (*path, number))
    else:
        yield path, raw


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)
