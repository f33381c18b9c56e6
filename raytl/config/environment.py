"""Replace `${VAR}` and `${VAR:-default}` in text by the environment's values; `$${` is a plain `${`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from raytl.config.source import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")


def interpolate(value: Any, environment: Mapping[str, str]) -> tuple[Any, dict[Path, str]]:
    """Return `value` with the references in its text replaced, and the fault at each path where one cannot be."""
    faults = dict(_faults(value, environment))
    return _filled(value, environment), faults


def literal(value: Any) -> tuple[Any, dict[Path, str]]:
    """Return `value` with `$${` as `${`, and the fault at each path whose text refers to the environment."""
    faults = {
        path: f"found {match[0]!r}, and a stored experiment reads nothing from the environment"
        for path, text in _texts(value, ())
        for match in _REFERENCE.finditer(text)
        if match[0] != "$${"
    }
    return _filled(value, {}), faults


def variables(text: str) -> Iterator[str]:
    """Yield the name of each variable that `text` refers to."""
    return (match["name"] for match in _REFERENCE.finditer(text) if match["name"])


def escape(text: str) -> str:
    """Return `text` in the form that `interpolate` turns back into it."""
    return text.replace("${", "$${")


def escaped(value: Any) -> Any:
    """Return `value` with its text escaped: `interpolate` turns it back. Keys stay, as they are never interpolated."""
    if isinstance(value, dict):
        return {key: escaped(member) for key, member in value.items()}
    if isinstance(value, list):
        return [escaped(member) for member in value]
    return escape(value) if isinstance(value, str) else value


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(member, environment) for key, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, environment) for member in value]
    return _REFERENCE.sub(lambda match: _value_of(match, environment), value) if isinstance(value, str) else value


def _value_of(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match[0] == "$${":
        return "${"
    if match["name"] is None:
        return match[0]
    default = match["default"]
    set_value = environment.get(match["name"])
    if default is not None and not set_value:  # as in the shell: `:-` also stands in for an empty variable
        return default
    return match[0] if set_value is None else set_value


def _faults(value: Any, environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for path, text in _texts(value, ()):
        for match in _REFERENCE.finditer(text):
            if fault := _fault(match, environment):
                yield path, fault


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, (dict, list)):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(member, (*path, key))
    elif isinstance(value, str):
        yield path, value


def _fault(match: re.Match[str], environment: Mapping[str, str]) -> str | None:
    if match[0] == "$${":
        return None
    if match["name"] is None:
        return "found '${' without a variable's name and '}'"
    if match["default"] is None and match["name"] not in environment:
        return f"the environment variable {match['name']} is not set"
    return None
