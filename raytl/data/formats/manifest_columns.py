"""Read the columns of a manifest that describe its images, as `data.columns` names them: site, camera, patient."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raytl.config.problems import near_miss
from raytl.config.schema import ColumnRole
from raytl.data.annotations.boxes_table import text_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.table_kind import path_column
from raytl.data.annotations.table_rows import table_rows
from raytl.data.manifest import Manifest
from raytl.data.sample import MAX_CELL, Cells
from raytl.data.texts import Coded
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.uris import has_scheme

_KEYS = "data.columns, auxiliary.columns"
_MAX_NAMES = 20
_NO_GROUP = "rows with an empty group (expected its name; leave out the column, or name each group)"
_TOO_LONG = f"values of more than {MAX_CELL} characters"
_CONFLICT = "images whose rows have different values"
_SPANS = "groups in two of the given splits (expected one; move their images into one split)"


def with_columns(manifest: Manifest, place: Path, columns: Mapping[str, ColumnRole]) -> Manifest:
    """Return the manifest with the values of its images in `columns` of the table at `place`.

    Raises:
        DataError: a column is missing, has one value only, or has unusable cells, or a group is in two given splits; all at
            once, with the rows.
    """
    table = table_rows(place)
    path, places = _positions(table.header, columns, manifest.root)
    columns_read = _Values(Findings(), {key: i for i, key in enumerate(manifest.samples.keys)}, place.parent.absolute())
    for where, cells in table.rows:
        columns_read.add(where, text_of(cells[path]), [cells[i] for i in places], columns)
    values = [cells or ("",) * len(columns) for cells in columns_read.of(len(manifest.samples))]
    for i, (name, role) in enumerate(columns.items()):
        columns_read.check_values(name, role, [row[i] for row in values])
        if role == "group":
            columns_read.check_splits(name, [row[i] for row in values], list(manifest.samples.splits))
    columns_read.findings.check(manifest.root, _KEYS)
    coded: Coded[Cells] = Coded.of(tuple(zip(columns, row, strict=True)) for row in values)
    return replace(manifest, samples=manifest.samples.with_columns(coded))


def _positions(header: Sequence[str], columns: Mapping[str, ColumnRole], root: str) -> tuple[int, list[int]]:
    """Return the positions of the path and of each column."""
    names = [name.strip().lower() for name in header]
    missing = [name for name in columns if name.strip().lower() not in names]
    path = path_column(header)
    if missing or path < 0:
        names_listed = ", ".join(map(repr, header[:_MAX_NAMES])) + (", ..." if len(header) > _MAX_NAMES else "")
        hints = [f"{name!r}{_hint(name, header)}" for name in missing or ["path"]]
        raise DataError(
            f"{root}: {_KEYS}: the table has no column {', '.join(hints)}; expected one of {names_listed}. "
            "Fix the name, or remove it from data.columns or auxiliary.columns"
        )
    return path, [names.index(name.strip().lower()) for name in columns]


def _hint(name: str, header: Sequence[str]) -> str:
    near = near_miss(name, header)
    return f" (did you mean {near!r}?)" if near else ""


@dataclass
class _Values:
    """The values of each image by its index, the row that it was first in, and the problems of rows."""

    findings: Findings
    index: Mapping[str, int]
    folder: Path
    rows: dict[int, str] = field(default_factory=dict)
    values: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, where: str, path: str, cells: Sequence[Any], columns: Mapping[str, ColumnRole]) -> None:
        """Add the cells of a row; one of an image that the manifest left out is passed over."""
        image = next((self.index[key] for key in keys_of(path, self.folder) if key in self.index), None)
        if image is None:
            return
        texts = tuple(nfc(text_of(cell)) for cell in cells)
        for (name, role), text in zip(columns.items(), texts, strict=True):
            if len(text) > MAX_CELL:
                self.findings.problem(_TOO_LONG, f"{where}: {name}: {text[:60]!r} ...")
            if role == "group" and not text:
                self.findings.problem(_NO_GROUP, f"{where}: {name}")
        if self.values.setdefault(image, texts) != texts:
            self.findings.problem(_CONFLICT, f"{where}: {path!r} has other values than in {self.rows[image]}")
        self.rows.setdefault(image, where)

    def of(self, count: int) -> Iterator[tuple[str, ...] | None]:
        """Yield the values of each of the images; None for one without a row."""
        return (self.values.get(i) for i in range(count))

    def check_values(self, name: str, role: ColumnRole, values: Sequence[str]) -> None:
        """Record a column that does not divide the images."""
        distinct = set(values) - {""}
        if len(distinct) < 2:
            what = f"every row has {min(distinct)!r}" if distinct else "every row is empty"
            self.findings.problem(
                "columns that do not divide the images (expected two values or more; remove them from data.columns or auxiliary.columns)",
                f"{name} ({role}): {what}",
            )

    def check_splits(self, name: str, values: Sequence[str], splits: Sequence[str | None]) -> None:
        """Record groups in more than one split, if the data has splits."""
        if not any(splits):
            return
        first: dict[str, dict[str, int]] = {}
        for i, (value, split) in enumerate(zip(values, splits, strict=True)):
            first.setdefault(value, {}).setdefault(split or "train", i)
        for value, by_split in first.items():
            if value and len(by_split) > 1:
                where = " and ".join(f"{split} ({self.rows[i]})" for split, i in by_split.items())
                self.findings.problem(_SPANS, f"{name} {value!r}: {where}")


def keys_of(path: str, folder: Path) -> Iterator[str]:
    """Yield the keys that a path in the table can have, by its spellings."""
    yield path
    for spelling in (path, path.replace("\\", "/")):
        if has_scheme(spelling):
            yield nfc(spelling.partition("://")[2])
        else:
            full = os.path.normpath(folder / spelling)
            yield nfc(Path(os.path.relpath(full, folder)).as_posix())
