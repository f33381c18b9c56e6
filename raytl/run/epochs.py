"""The record of an epoch: its number, its stage, and metrics by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from raytl.stored import Format
from raytl.stored.bounds import Bound, at_most

Epoch = dict[str, Any]
"""`epoch` counts from 1, `stage` is a name, `best` a boolean, and everything else a number or null."""


def _is_epoch(record: Mapping[str, Any]) -> bool:
    epoch = record.get("epoch")
    named = isinstance(record.get("stage", ""), str) and isinstance(record.get("best", False), bool)
    others = (value for key, value in record.items() if key not in ("epoch", "stage", "best"))
    return type(epoch) is int and 0 <= epoch < 2**31 and named and not any(isinstance(each, str) for each in others)


EPOCH_FORMAT = Format[Epoch](
    Annotated[
        dict[str, int | float | str | bool | None],
        at_most(10_000, "numbers"),
        Bound("an epoch: its number, its stage, and numbers by name", _is_epoch),
    ],
    "the metrics of an epoch",
    "The file was damaged or edited. Fix or delete this line.",
)
