"""JSON text as plain values, within bounds that hold for every stored format."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any, NoReturn

from raytl.stored.fault import Fault

MAX_DEPTH = 32
MAX_DIGITS = 1000
"""Limit for the digits of an integer, also under ignored keys; the schema has tighter bounds."""


def parse(content: bytes) -> Any:
    """Return the value that `content` holds, in JSON's own types; NaN and infinities are left to the schema.

    Raises:
        Fault: it is not UTF-8 JSON, is nested too deep, repeats a key, or has a number with too many digits.
    """
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise Fault(f"byte {error.start} is not UTF-8", "JSON in UTF-8") from error
    return parse_text(text)


def parse_text(text: str) -> Any:
    """Return the value that `text` holds; see `parse`."""
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Fault(f"line {error.lineno}, column {error.colno} is not JSON ({error.msg})", "JSON") from error
    except RecursionError as error:
        raise _too_deep() from error
    except MemoryError as error:
        raise Fault("it does not fit into memory", "a smaller value") from error
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [member for each in level for member in _members(each) if isinstance(member, (dict, list))]
        if not level:
            return
    raise _too_deep()


def _members(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> Fault:
    return Fault(f"it is nested deeper than {MAX_DEPTH} levels", "a flatter value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        _reject_repeated([key for key, _ in pairs])
    return members


def _reject_repeated(keys: list[str]) -> NoReturn:
    seen: set[str] = set()
    repeated = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise Fault(f"one object has the key {repeated[:60]!r} twice", "each key once")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Fault(f"a number has {len(text)} digits", f"{MAX_DIGITS} at most")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Fault(f"the number {text[:30]} is too large", "a 64-bit floating-point number")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real)
