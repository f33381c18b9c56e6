"""Some rows of a table as its format has them, by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

MOST_ROWS = 50_000_000
CHUNK_ROWS = 1 << 14
"""Rows that are read at a time."""


class Cells(NamedTuple):
    """The wanted columns of some rows as their format has them; None is a cell that is not there."""

    numbers: Sequence[int]
    paths: Sequence[Any]
    labels: Sequence[Any]
    splits: Sequence[Any]
    share: float
    """How much of the file is read by now."""
    surplus: Sequence[int] = ()
    """The indices of rows with too many cells."""
