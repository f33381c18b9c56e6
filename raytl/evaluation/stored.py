"""Read the part of a stored report that reports of all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from raytl.run.ledger import LedgerEntry
from raytl.stored import Format
from raytl.stored.bounds import Count, Name, at_most, within
from raytl.tasks.stored_scores import Bounds


@dataclass(frozen=True, slots=True)
class StoredReport:
    """The fields of every report.json; the others are read by the task of the report."""

    run: str
    model: Name
    split: Name
    weights: Name
    data: Name
    skipped: Count
    look: Annotated[int, within(1, 10**6)] | None
    metrics: Annotated[Mapping[Name, Bounds], at_most(1000, "metrics")]
    looks: tuple[LedgerEntry, ...]


REPORT_FORMAT = Format[StoredReport](
    StoredReport,
    "a report that `raytl evaluate` wrote",
    "Restore the file, or move its folder away to compute the same report again.",
    max_bytes=64 << 20,
)
