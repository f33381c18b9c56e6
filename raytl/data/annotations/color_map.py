"""Read the file that names the values or colors of masks, in the spellings of the common datasets and tools.

`classes.txt`, `codes.txt`, `class_names.txt` (labelme), `label_colors.txt` and `class_dict.csv` (CamVid), `labelmap.txt` (CVAT):
a class a line, as its name alone, with its value, or with its red, green and blue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from raytl.data.annotations.dataset_files import DatasetFiles
from raytl.data.annotations.findings import Findings

_STEM = re.compile(
    r"(label|class|color|colour|category|categories)?[_-]?(s|es|dict|map|maps|colors?|colours?|names?|codes?|list|colormap)?"
    r"|codes|classes|labels|palette|labels_class_dict|label_colou?rs|_?annotations_classes",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?\d{1,8}")
_HEADER = frozenset(
    {"name", "class", "label", "r", "g", "b", "red", "green", "blue", "id", "value", "index", "class_name"}
)
_MAX_CLASSES = 65_536
_BROKEN = "lines that do not name a class (expected a name, a value and a name, or red, green, blue and a name)"
_TWICE = "values that are named twice"
_IGNORED = "__ignore__"


@dataclass(frozen=True)
class ColorMap:
    """The name of each value, or of each color as `r << 16 | g << 8 | b` if it `has_colors`; `place` is the file."""

    place: str
    names: Mapping[int, str]
    has_colors: bool


def color_map(files: DatasetFiles, findings: Findings) -> ColorMap | None:
    """Return the names that a file of the dataset lists; None if there is none. Of several, the one nearest to the root."""
    candidates = [
        key
        for key in files.ending(".txt", ".csv", ".tsv")
        if (stem := PurePosixPath(key).stem) and _STEM.fullmatch(stem) and key.count("/") <= 2
    ]
    for key in sorted(candidates, key=lambda key: (key.count("/"), key)):
        if result := _read(key, files.text(key), findings):
            return result
    return None


def _read(key: str, text: str, findings: Findings) -> ColorMap | None:
    """Return the map in a file; a broken line is a problem."""
    rows = _rows(text)
    if not rows or len(rows) > _MAX_CLASSES:
        return None
    has_colors = all(len(_numbers(row)) >= 3 for _, row in rows)
    names: dict[int, str] = {}
    number = -1 if rows[0][1] == [_IGNORED] else 0
    for line, row in rows:
        value, name = _entry(row, number, has_colors=has_colors)
        number += 1
        if not name or value is None:
            findings.problem(_BROKEN, f"{key}:{line}")
        elif value < 0:
            continue
        elif value in names:
            findings.problem(_TWICE, f"{key}:{line}: {value}")
        else:
            names[value] = name
    return ColorMap(key, names, has_colors)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the fields of each line with its number, without comments and a header."""
    rows = []
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip() and not content.lstrip().startswith(("#", "//")):
            rows.append((line, _fields(content)))
    if rows and len(rows[0][1]) > 1 and all(field.lower() in _HEADER for field in rows[0][1]):
        rows = rows[1:]
    return rows


def _fields(content: str) -> list[str]:
    delimiter = next((each for each in (",", ";", "\t", ":") if each in content), None)
    if ":" in content and re.fullmatch(
        r"[^:]+:\s*\d+\s*,\s*\d+\s*,\s*\d+\s*:.*", content
    ):  # CVAT: name:r,g,b:parts:actions
        name, color, *_ = content.split(":")
        return [name.strip(), *(part.strip() for part in color.split(","))]
    if delimiter in ("\t", None):
        words = content.split()
        return _words(words)
    fields = [field.strip().strip('"') for field in content.split(delimiter)]
    return [field for field in fields if field]


def _words(words: Sequence[str]) -> list[str]:
    """Return leading and trailing numbers as fields, and all words between them as one name."""
    start, end = 0, len(words)
    while start < end and _NUMBER.fullmatch(words[start]):
        start += 1
    while end > start and _NUMBER.fullmatch(words[end - 1]):
        end -= 1
    name = " ".join(words[start:end])
    return [*words[:start], *([name] if name else []), *words[end:]]


def _numbers(row: Sequence[str]) -> list[int]:
    return [int(field) for field in row if _NUMBER.fullmatch(field)]


def _entry(row: Sequence[str], number: int, *, has_colors: bool) -> tuple[int | None, str]:
    """Return the value (or color) and the name of a row; a name alone has the number of its line."""
    texts = [field for field in row if not _NUMBER.fullmatch(field)]
    numbers = _numbers(row)
    name = texts[0] if texts else ""
    if has_colors:
        red, green, blue = numbers[-3:] if len(numbers) == 4 and _NUMBER.fullmatch(row[0]) else numbers[:3]
        is_color = all(0 <= part <= 255 for part in (red, green, blue))
        return (red << 16 | green << 8 | blue) if is_color else None, name
    if len(numbers) == 1 and name:
        return numbers[0], name
    if len(row) == 1:
        return number, row[0]
    return None, name
