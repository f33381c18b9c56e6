"""Bounds of the fields of stored formats, for `Annotated[...]`, and the fields that several formats share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any


@dataclass(frozen=True)
class Bound:
    """A condition that a value must meet, and its text in errors: "a number from 1 to 8192"."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class FormerKey:
    """The key under which earlier versions of raytl stored a field; read if the object lacks the field's own key."""

    name: str


class Undefined:
    """Marker of a number that may be NaN, which strict JSON stores as null."""


class Unchecked:
    """Marker of a value of any type that its user checks, such as millions of numbers: the default bounds do not hold for it."""


def within(low: float, high: float, unit: str = "") -> Bound:
    """Return the bound of a number from `low` to `high`."""
    return Bound(f"a number from {low:,} to {high:,}{unit and f' {unit}'}", lambda value: low <= value <= high)


def at_most(count: int, unit: str = "characters") -> Bound:
    """Return the bound of the length of a text, a list or a mapping."""
    return Bound(f"{count:,} {unit} at most", lambda value: len(value) <= count)


def at_least(count: int, unit: str) -> Bound:
    """Return the lower bound of the length of a list or a mapping."""
    return Bound(f"{count:,} {unit} at least", lambda value: len(value) >= count)


def matching(pattern: str, words: str) -> Bound:
    """Return the bound of a text that matches `pattern` as a whole."""
    compiled = re.compile(pattern)
    return Bound(words, lambda value: compiled.fullmatch(value) is not None)


def _is_inside(name: str) -> bool:
    return bool(name) and name[0] != "/" and not {"", ".", ".."} & set(name.split("/")) and "\0" not in name


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_git(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("commit"), str) and isinstance(value.get("dirty"), bool)


def _is_distinct(values: Any) -> bool:
    return len(set(values)) == len(values)


Score = Annotated[float, Undefined]
"""A number that may be undefined (NaN)."""
Count = Annotated[int, within(0, 2**53)]
Digest = Annotated[str, matching(r"[0-9a-f]{64}", "64 hexadecimal digits")]
Name = Annotated[str, at_most(4096)]
Inside = Annotated[str, at_most(4096), Bound("a relative path inside the folder", _is_inside)]
"""The path of a file below a folder."""
FilePath = Annotated[str, at_most(4096), Bound("a path without NUL", lambda path: "\0" not in path)]
Moment = Annotated[str, Bound("a date and time with its offset (ISO 8601)", _is_moment)]
Token = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", "letters, digits, '.', '_' and '-'")]
"""A part of a key or of a file's name."""
GitState = Annotated[Mapping[str, Any], Bound("an object with a commit and whether it is dirty", _is_git)]
Classes = Annotated[
    tuple[Name, ...], at_least(1, "class"), at_most(100_000, "classes"), Bound("distinct classes", _is_distinct)
]
