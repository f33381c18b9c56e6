"""Read multi-label tables: a column of 0 and 1 for each attribute, or one column of names such as `red|round`.

An empty attribute, or -1, is unknown: neither learned nor scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from raytl.data.annotations.boxes_table import text_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.table_images import ImageRow, TableImages
from raytl.data.annotations.table_kind import LabelColumns
from raytl.data.manifest import Sample
from raytl.data.targets import Labels

_STATES = {
    "1": True,
    "true": True,
    "yes": True,
    "0": False,
    "false": False,
    "no": False,
    "-1": None,
    "": None,
    "?": None,
}
_WRONG = "cells that are neither 0 nor 1 (or empty or -1, which is unknown)"
_TWICE = "images with two rows"


def read(
    rows: Iterator[tuple[str, Sequence[Any]]],
    header: Sequence[str],
    columns: LabelColumns,
    images: TableImages,
    findings: Findings,
) -> list[Sample]:
    """Return a sample for each row."""
    listed: dict[str, ImageRow] = {}
    targets: dict[str, Labels] = {}
    for place, cells in rows:
        path = text_of(cells[columns.path])
        split = text_of(cells[columns.split]) if columns.split >= 0 else ""
        target = (
            _joined(cells[columns.joined])
            if columns.joined >= 0
            else _attributes(place, cells, header, columns, findings)
        )
        if path in listed and targets[path] != target:
            findings.problem(_TWICE, f"{place}: {path[:200]!r} has other labels than in {listed[path].place}")
        listed.setdefault(path, ImageRow(place, path, split))
        targets.setdefault(path, target)
    samples = images.resolved(list(listed.values()))
    return [replace(sample, target=targets[path]) for path, sample in samples.items()]


def are_attributes(rows: Sequence[tuple[str, Sequence[Any]]], columns: LabelColumns) -> bool:
    """Return whether rows have only 0, 1, -1 and empty cells in the attribute columns."""
    return all(text_of(cells[place]).lower() in _STATES for _, cells in rows for place in columns.attributes)


def _joined(cell: Any) -> Labels:
    names = cell if isinstance(cell, list) else text_of(cell).split("|")
    return Labels(tuple(sorted({text for name in names if (text := text_of(name))})))


def _attributes(
    place: str, cells: Sequence[Any], header: Sequence[str], columns: LabelColumns, findings: Findings
) -> Labels:
    present, unknown = [], []
    for column in columns.attributes:
        text = text_of(cells[column]).lower()
        if text not in _STATES:
            findings.problem(_WRONG, f"{place}: {header[column]}: {text[:60]!r}")
        elif _STATES[text] is None:
            unknown.append(header[column])
        elif _STATES[text]:
            present.append(header[column])
    return Labels(tuple(sorted(present)), tuple(sorted(unknown)))
