"""Hold a chunk of table rows by column, in the types of the file format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_ROWS = 50_000_000
CHUNK_ROWS = 1 << 14
"""Rows per read."""


class Cells(NamedTuple):
    """The needed columns of a chunk of rows in the types of the file format; None is an absent cell."""

    numbers: Sequence[int]
    paths: Sequence[Any]
    labels: Sequence[Any]
    splits: Sequence[Any]
    progress: float
    """The fraction of the file that has been read."""
    surplus: Sequence[int] = ()
    """Indices of rows with too many cells."""
