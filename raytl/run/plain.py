"""Encode values as strict JSON: one format for every file of a run, readable by any JSON parser."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from raytl.sanitize import json_printable, redactor


def plain(value: Any) -> Any:
    """Convert `value` to JSON types: NaN and infinities to null, numpy scalars to numbers, paths to text, tuples to lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if callable(to_list := getattr(value, "tolist", None)):  # numpy scalars and arrays, without importing numpy
        return plain(to_list())
    raise TypeError(f"{type(value).__name__} cannot be encoded as JSON: {value!r}")


def for_people(value: Any) -> Any:
    """Return `plain(value)` with secrets in its texts redacted; keys are unchanged."""
    mask = redactor()

    def masked(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: masked(member) for key, member in inner.items()}
        if isinstance(inner, list):
            return [masked(member) for member in inner]
        return mask(inner) if isinstance(inner, str) else inner

    return masked(plain(value))


def encode(value: Any, indent: int | None = None, *, ascii_only: bool = False) -> bytes:
    """Return `value` as UTF-8 JSON without a final newline; file names that are not UTF-8 are escaped.

    Escape control characters or, with `ascii_only`, all characters beyond ASCII.
    """
    simple = plain(value)
    try:
        return json_printable(json.dumps(simple, indent=indent, ensure_ascii=ascii_only, allow_nan=False)).encode()
    except UnicodeEncodeError:  # lone surrogates: Python's representation of file names that are not UTF-8
        return json.dumps(simple, indent=indent, allow_nan=False).encode()
