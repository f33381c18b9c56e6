"""The stored records of a batch: its plan, the receipt of each part, and the summary that is written last.

They are data: paths, keys and options always come from the plan that this process made, never from a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from raytl.run.plain import encode
from raytl.stored.bounds import Count, Digest, Name, at_most
from raytl.stored.format import Format

_ADVICE = "Start anew there with --new, or name another --out"
_MAX_BYTES = 64 << 20
_Reason = Annotated[str, at_most(20_000)]
_Counts = Annotated[Mapping[str, Count], at_most(100_000, "classes")]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part of a plan: the digest of its photos, their number, and the first one, for people."""

    digest: Digest
    photos: Count
    first: Name


@dataclass(frozen=True)
class StoredPlan:
    """The plan that an output was begun with; `run` and `versions` are for people."""

    digest: Digest
    run: Name
    versions: Name
    settings: Annotated[Mapping[str, Annotated[str, at_most(1 << 16)]], at_most(100, "settings")]
    parts: Annotated[tuple[StoredPart, ...], at_most(100_000, "parts")]


@dataclass(frozen=True)
class Receipt:
    """The record of a finished part of the plan with the digest `plan`: the size, etag and SHA-256 of its table.

    A part without readable photos has no table: its size is 0. `unreadable` has places in the part, and reasons. `counts`
    are those of `unit` by class, `judged` those of the columns of judgements.
    """

    plan: Digest
    part: Digest
    photos: Count
    rows: Count
    size: Count
    etag: Name
    sha256: Digest
    unit: Name
    counts: _Counts
    judged: _Counts
    unreadable: Annotated[tuple[tuple[Count, _Reason], ...], at_most(10_000_000, "photos")] = ()

    def encoded(self) -> bytes:
        """Return the record as it is stored."""
        return encode({"format": 1, **_plainly(self)})


@dataclass(frozen=True, slots=True)
class PartSummary:
    """The table of a finished part."""

    name: Name
    photos: Count
    rows: Count
    size: Count
    sha256: Digest


@dataclass(frozen=True)
class Summary:
    """The summary of a finished batch, whose presence says that the output is whole."""

    plan: Digest
    run: Name
    weights: Digest
    versions: Name
    photos: Count
    unreadable: Count
    rows: Count
    unit: Name
    counts: _Counts
    judged: _Counts
    parts: Annotated[tuple[PartSummary, ...], at_most(100_000, "parts")]

    def encoded(self) -> bytes:
        """Return the record as it is stored."""
        parts = [_plainly(part) for part in self.parts]
        return encode({"format": 1, **_plainly(self), "parts": parts}, indent=1) + b"\n"


def encoded_plan(stored: StoredPlan) -> bytes:
    """Return the plan as it is stored."""
    parts = [_plainly(part) for part in stored.parts]
    return encode({"format": 1, **_plainly(stored), "parts": parts}, indent=1) + b"\n"


def _plainly(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


PLAN_FORMAT = Format[StoredPlan](StoredPlan, "the plan of a batch", _ADVICE, max_bytes=_MAX_BYTES)
RECEIPT_FORMAT = Format[Receipt](Receipt, "the receipt of a part", _ADVICE, max_bytes=_MAX_BYTES)
SUMMARY_FORMAT = Format[Summary](Summary, "the summary of a batch", _ADVICE, max_bytes=_MAX_BYTES)
