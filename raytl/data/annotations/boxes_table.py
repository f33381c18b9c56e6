"""Read tables with a row for each box: a path, four coordinates and a label. A row without coordinates is an image without objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raytl.data.annotations.annotated import AnnotatedImage, AnnotatedObject, Corners
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.image_size import sizes
from raytl.data.annotations.origin import Origin
from raytl.data.annotations.table_images import ImageRow, TableImages
from raytl.data.annotations.table_kind import BoxColumns, Boxed

_BROKEN = "rows whose coordinates are not four numbers"
_NO_LABEL = "rows with a box and without a label"


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    label: str
    values: tuple[float, float, float, float]
    crowd: bool


def read(
    rows: Iterator[tuple[str, Sequence[Any]]],
    columns: BoxColumns,
    images: TableImages,
    origin: Origin,
    findings: Findings,
) -> list[AnnotatedImage]:
    """Return the images of the rows with their boxes. If no value exceeds 1, the values are fractions of the image."""
    boxes: dict[str, list[_Row]] = {}
    listed: dict[str, ImageRow] = {}
    for place, cells in rows:
        path = text_of(cells[columns.path])
        split = text_of(cells[columns.split]) if columns.split >= 0 else ""
        listed.setdefault(path, ImageRow(place, path, split))
        if split != listed[path].split:
            findings.problem("images in two splits", f"{place}: {path[:200]!r}")
        if row := _row(place, cells, columns, findings):
            boxes.setdefault(path, []).append(row)
    samples = images.resolved(list(listed.values()))
    fractions = _are_fractions(row for each in boxes.values() for row in each)
    if fractions:
        findings.warnings.append(f"{images.uri}: no coordinate exceeds 1, so they are read as fractions of the image")
    measured = sizes(sample.path for sample in samples.values()) if fractions else {}
    annotated = []
    for path, sample in samples.items():
        size = measured.get(sample.path)
        scale = size.upright if size else (1, 1)
        shift = 1 if origin == 1 and not fractions else 0
        objects = [_object(row, columns.kind, scale, shift) for row in boxes.get(path, ())]
        annotated.append(AnnotatedImage(sample.key, sample.path, listed[path].place, objects, sample.split))
    return annotated


def _are_fractions(rows: Iterator[_Row]) -> bool:
    """Return whether all coordinates are fractions: none above 1, and not all of them whole numbers."""
    parts = 0
    for row in rows:
        if max(row.values) > 1:
            return False
        parts += any(value % 1 for value in row.values)
    return parts > 0


def _row(place: str, cells: Sequence[Any], columns: BoxColumns, findings: Findings) -> _Row | None:
    texts = [text_of(cells[column]) for column in columns.values]
    if not any(texts):
        return None
    label = text_of(cells[columns.label])
    if not 0 < len(label) <= 4096:
        findings.problem(_NO_LABEL, place)
        return None
    try:
        first, second, third, fourth = map(float, texts)
    except ValueError:
        findings.problem(_BROKEN, f"{place}: {', '.join(texts)[:200]}")
        return None
    if not all(map(math.isfinite, (first, second, third, fourth))):
        findings.problem(_BROKEN, place)
        return None
    crowd = columns.crowd >= 0 and text_of(cells[columns.crowd]).lower() in ("1", "1.0", "true")
    return _Row(place, label, (first, second, third, fourth), crowd)


def _object(row: _Row, kind: Boxed, scale: tuple[int, int], shift: int) -> AnnotatedObject:
    first, second, third, fourth = _corners(row.values, kind)
    box = (first * scale[0], second * scale[1], third * scale[0], fourth * scale[1])
    each = AnnotatedObject(row.label, row.place, box, crowd=row.crowd)
    is_area = box[2] > box[0] and box[3] > box[1]
    return replace(each, box=(box[0] - shift, box[1] - shift, box[2], box[3])) if is_area else each


def _corners(values: tuple[float, float, float, float], kind: Boxed) -> Corners:
    x, y, third, fourth = values
    match kind:
        case "corner_size":
            return x, y, x + third, y + fourth
        case "center_size":
            return x - third / 2, y - fourth / 2, x + third / 2, y + fourth / 2
        case "corners":
            return values


def text_of(cell: Any) -> str:
    """Return a cell as text; null and NaN are empty, and 1.0 is 1."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return "" if text.lower() in ("nan", "<na>", "null") else text
