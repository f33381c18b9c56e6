"""Outcomes of single images as JSON lines, with the group of each image where images are not independent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from raytl.data.group_split import joined
from raytl.metrics.draws import Groups


def outcome_lines(rows: Iterable[Any]) -> bytes:
    """Return one JSON line per row, a dataclass, without a `group` that is None."""
    return "".join(json.dumps(_plain(row)) + "\n" for row in rows).encode()


def group_numbers(groups: Groups | None, count: int) -> Sequence[int | None]:
    """Return the number of the group of each of `count` images; None if images are independent."""
    return [None] * count if groups is None else groups.tolist()


def paired_groups(*numbers: Sequence[int | None]) -> Groups | None:
    """Return the groups of the images of two evaluations, `(n,)`: those of one group in either are together; None if all are
    independent."""
    groups = [list(_filled(each)) for each in numbers if any(number is not None for number in each)]
    return joined(*map(np.asarray, groups)) if groups else None


def _filled(numbers: Sequence[int | None]) -> Iterator[int]:
    """Yield the numbers; an image without one has a group of its own."""
    for place, number in enumerate(numbers):
        yield -1 - place if number is None else number


def _plain(row: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "group" or value is not None}
