"""Rows as a table: a pandas DataFrame where pandas is installed, else a list of dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any


def table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return the rows as a `pandas.DataFrame`, or as a list of dicts if pandas is not installed."""
    plain = [dict(row) for row in rows]
    try:
        return import_module("pandas").DataFrame(plain)
    except ImportError:
        return plain
