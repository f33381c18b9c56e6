"""The judgement of one answer by a report, and its columns in a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The prediction `set` of an answer; whether it is `answered`, so that the aim for answers is kept, and `unfamiliar`, a
    photo unlike those of training.

    `counts_as` says whether it counts as each class that has an aim for its recall. None = no aim, or no limit.
    """

    set: tuple[str, ...]
    answered: bool | None = None
    unfamiliar: bool | None = None
    counts_as: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))


def judgement_columns(judgements: Sequence[Judgement] | None) -> dict[str, list[Any]]:
    """Return the columns `answered`, `set` (lists of classes), `unfamiliar` and `is_<class>`; none without judgements, and not
    those that are None."""
    if not judgements:
        return {}
    columns: dict[str, list[Any]] = {
        "answered": [each.answered for each in judgements],
        "set": [list(each.set) for each in judgements],
        "unfamiliar": [each.unfamiliar for each in judgements],
        **{f"is_{name}": [each.counts_as[name] for each in judgements] for name in judgements[0].counts_as},
    }
    return {name: cells for name, cells in columns.items() if cells[0] is not None}


def cell_text(value: bool | list[str]) -> str:
    """Return a cell of such a column as text: `true` or `false`, or the classes of a set as `a|b`."""
    return str(value).lower() if isinstance(value, bool) else SEPARATOR.join(value)
