"""Convert plain values to the type that a format declares: dataclasses, mappings, tuples, unions and numbers, each within bounds.

A field's type selects its reader, and `Annotated[...]` adds bounds from `raytl.stored.bounds`; without one, the defaults here
apply. The key `kind` has the class's name in lower case and selects one dataclass of a union.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from raytl.stored.bounds import Bound, FormerKey, Unchecked, Undefined
from raytl.stored.fault import Fault, mismatch

MAX_CHARACTERS = 1 << 16
MAX_ITEMS = 10_000_000
MAX_INTEGER = 2**64 - 1
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of surrogate pairs, except those with which Python represents file names that are not UTF-8."""
KIND = "kind"

Foreign = list[tuple[str | int, ...]]
Reader = Callable[[Any, Foreign], Any]
"""Converts a plain value to a typed one, and records the keys that it ignores. Raises: Fault."""


@cache
def reader(kind: Any) -> Reader:
    """Return the reader for values of the type `kind`."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if _is_record(kind):
        return _record(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _bounded(*arguments)
    if origin is Literal:
        return _choice(arguments)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin in (Mapping, dict):
        return _mapping(reader(arguments[0]), reader(arguments[1]))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _row([reader(each) for each in arguments])
    if origin in (tuple, list, Sequence):
        return _items(reader(arguments[0]), list if origin is list else tuple)
    raise TypeError(f"{kind} is not supported in a stored format")


def _text(value: Any, foreign: Foreign) -> str:
    if not isinstance(value, str):
        raise mismatch(value, "text")
    if len(value) > MAX_CHARACTERS:
        raise mismatch(value, f"{MAX_CHARACTERS} characters at most")
    if not value.isascii() and _HALVES.search(value):
        raise mismatch(value, "text without half of a surrogate pair")
    return value


def _integer(value: Any, foreign: Foreign) -> int:
    if type(value) is not int:
        raise mismatch(value, "an integer")
    if abs(value) > MAX_INTEGER:
        raise mismatch(value, "an integer of 64 bits")
    return value


def _number(value: Any, foreign: Foreign) -> float:
    if type(value) not in (int, float):
        raise mismatch(value, "a number")
    if not math.isfinite(value):
        raise mismatch(value, "a finite number")
    return float(value)


def _undefined(value: Any, foreign: Foreign) -> float:
    """Read a number that may be NaN, which strict JSON stores as null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return math.nan if value is None else float(value)
    return _number(value, foreign)


def _switch(value: Any, foreign: Foreign) -> bool:
    if not isinstance(value, bool):
        raise mismatch(value, "true or false")
    return value


def _nothing(value: Any, foreign: Foreign) -> None:
    if value is not None:
        raise mismatch(value, "null")


def _anything(value: Any, foreign: Foreign) -> Any:
    """Read a value of any type, whose parts are within the default bounds."""
    if isinstance(value, dict):
        return _mapping(_text, _anything)(value, foreign)
    if isinstance(value, list):
        return _items(_anything, list)(value, foreign)
    if isinstance(value, str):
        return _text(value, foreign)
    if type(value) in (int, float):
        return _integer(value, foreign) if isinstance(value, int) else _number(value, foreign)
    return value


def _unchecked(value: Any, foreign: Foreign) -> Any:
    return value


def _each(parts: Iterable[tuple[str | int, Reader, Any]], foreign: Foreign) -> list[Any]:
    """Read the members of an object or a list, given as (key, reader, value); paths of faults and of ignored keys begin here."""
    members: list[Any] = []
    before = len(foreign)
    key: str | int = ""
    try:
        for key, read, value in parts:
            members.append(read(value, foreign))
            if len(foreign) > before:
                foreign[before:] = [(key, *keys) for keys in foreign[before:]]
                before = len(foreign)
    except Fault as fault:
        raise fault.below(key) from fault.__cause__
    return members


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    readers = {field.name: reader(hints[field.name]) for field in fields(kind) if field.init}
    former = {alias.name: name for name in readers for alias in get_args(hints[name]) if isinstance(alias, FormerKey)}
    required = [
        field.name for field in fields(kind) if field.init and field.default is field.default_factory is MISSING
    ]

    def read(value: Any, foreign: Foreign) -> Any:
        if not isinstance(value, dict):
            raise mismatch(value, f"an object with the keys {', '.join(readers)}")
        if former:
            value = {key if (name := former.get(key, key)) in value else name: member for key, member in value.items()}
        for name in required:
            if name not in value:
                raise Fault("missing", "a value").below(name)
        names = [name for name in value if name in readers]
        members = _each(((name, readers[name], value[name]) for name in names), foreign)
        if len(names) < len(value):
            foreign += [(key,) for key in value if key not in readers]
        return kind(**dict(zip(names, members, strict=True)))

    return read


def _mapping(read_key: Reader, read_value: Reader) -> Reader:
    def read(value: Any, foreign: Foreign) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise mismatch(value, "an object")
        keys = _each(((key, read_key, key) for key in value), foreign)
        members = _each(((key, read_value, member) for key, member in value.items()), foreign)
        return dict(zip(keys, members, strict=True))

    return read


def _items(read_item: Reader, collect: Callable[[Any], Any]) -> Reader:
    def read(value: Any, foreign: Foreign) -> Any:
        if not isinstance(value, list):
            raise mismatch(value, "a list")
        if len(value) > MAX_ITEMS:
            raise mismatch(value, f"{MAX_ITEMS} items at most")
        return collect(_each(((index, read_item, member) for index, member in enumerate(value)), foreign))

    return read


def _row(readers: Sequence[Reader]) -> Reader:
    def read(value: Any, foreign: Foreign) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(readers):
            raise mismatch(value, f"a list of {len(readers)}")
        return tuple(_each(zip(range(len(value)), readers, value, strict=True), foreign))

    return read


def _choice(choices: Sequence[Any]) -> Reader:
    def read(value: Any, foreign: Foreign) -> Any:
        if not any(type(value) is type(each) and value == each for each in choices):
            raise mismatch(value, " or ".join(map(repr, choices)))
        return value

    return read


def _union(kinds: Sequence[Any]) -> Reader:
    """Read the first member that fits; if null is the only other member, raise the member's own fault."""
    records: dict[str, Any] = {kind.__name__.lower(): kind for kind in kinds if _is_record(kind)}
    plain = [kind for kind in kinds if kind is not type(None) and not (len(records) > 1 and _is_record(kind))]
    readers = [reader(kind) for kind in plain]
    if len(records) > 1:
        tagged = _tagged({name: reader(kind) for name, kind in records.items()}, type(None) in kinds)
        if not plain:
            return tagged
        readers.append(tagged)

    def read(value: Any, foreign: Foreign) -> Any:
        if value is None and type(None) in kinds:
            return None
        faults = []
        for each in readers:
            try:
                return each(value, foreign)
            except Fault as fault:
                faults.append(fault)
        if len(faults) == 1:
            raise faults[0]
        raise mismatch(value, " or ".join(fault.expected for fault in faults))

    return read


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


def _tagged(readers: Mapping[str, Reader], may_be_null: bool) -> Reader:
    """Read one of several records, selected by its `kind`."""

    def read(value: Any, foreign: Foreign) -> Any:
        if value is None and may_be_null:
            return None
        if not isinstance(value, dict):
            raise mismatch(value, f"an object with the key {KIND}")
        if not isinstance(kind := value.get(KIND), str) or kind not in readers:
            raise mismatch(kind, " or ".join(readers)).below(KIND)
        return readers[kind]({key: member for key, member in value.items() if key != KIND}, foreign)

    return read


def _bounded(kind: Any, *bounds: Any) -> Reader:
    if Undefined in bounds:
        return _undefined
    if Unchecked in bounds:
        return _unchecked
    read_plain = reader(kind)
    checks = [bound for bound in bounds if isinstance(bound, Bound)]

    def read(value: Any, foreign: Foreign) -> Any:
        result = read_plain(value, foreign)
        for bound in checks:
            if not bound.holds(result):
                raise mismatch(value, bound.words)
        return result

    return read


_PLAIN: dict[Any, Reader] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _switch,
    type(None): _nothing,
    Any: _anything,
    typing.Any: _anything,
}
