"""Tell from the columns of a table whether it has a class, a box or attributes for each row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_PATHS = (
    "path",
    "filepath",
    "file",
    "filename",
    "imagepath",
    "image",
    "imageid",
    "img",
    "imagename",
    "imgpath",
    "imageuri",
)
_LABELS = ("label", "class", "classname", "category", "categoryname", "name", "labelname", "object")
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
    ("bboxxmin", "bboxymin", "bboxxmax", "bboxymax"),
    ("bboxx1", "bboxy1", "bboxx2", "bboxy2"),
)
_CORNER_AND_SIZE = (
    ("x", "y", "w", "h"),
    ("bboxx", "bboxy", "bboxw", "bboxh"),
    ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
    ("left", "top", "width", "height"),
    ("xmin", "ymin", "w", "h"),
)
_CENTERS = (("xcenter", "ycenter", "width", "height"), ("cx", "cy", "w", "h"), ("xcenter", "ycenter", "w", "h"))
_JOINED = ("labels", "tags", "attributes")

Boxed = Literal["corners", "corner_size", "center_size"]


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """The positions of the columns of a table of boxes; `kind` says what the four `values` are. -1 is an absent column."""

    kind: Boxed
    path: int
    label: int
    split: int
    crowd: int
    values: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """The positions of the columns of a multi-label table: `joined` has names such as `a|b`, or each of `attributes` is 0 or 1."""

    path: int
    split: int
    joined: int
    attributes: tuple[int, ...]


def box_columns(header: Sequence[str]) -> BoxColumns | None:
    """Return the columns of a table of boxes; None if it is not one."""
    names = list(map(_plain, header))
    for kind, spellings in (("corners", _CORNERS), ("center_size", _CENTERS), ("corner_size", _CORNER_AND_SIZE)):
        for four in spellings:
            if all(names.count(name) == 1 for name in four):
                first, second, third, fourth = (names.index(name) for name in four)
                values = (first, second, third, fourth)
                path, label = _first(names, _PATHS), _first(names, _LABELS)
                if path < 0 or label < 0:
                    return None
                split, crowd = _first(names, ("split",)), _first(names, ("iscrowd", "crowd", "difficult", "isgroupof"))
                return BoxColumns(kind, path, label, split, crowd, values)  # type: ignore[arg-type]
    return None


def label_columns(header: Sequence[str]) -> LabelColumns | None:
    """Return the columns of a multi-label table; None if it has a column `label`, or no attributes."""
    names = list(map(_plain, header))
    path, split, joined = _first(names, _PATHS), _first(names, ("split",)), _first(names, _JOINED)
    if path < 0 or "label" in names:
        return None
    if joined >= 0:
        return LabelColumns(path, split, joined, ())
    attributes = tuple(place for place, name in enumerate(names) if place not in (path, split))
    return LabelColumns(path, split, -1, attributes) if len(attributes) >= 2 else None


def path_column(header: Sequence[str]) -> int:
    """Return the position of the column of paths; -1 if there is none."""
    return _first(list(map(_plain, header)), _PATHS)


def _first(names: Sequence[str], wanted: Sequence[str]) -> int:
    return next((names.index(name) for name in wanted if name in names), -1)


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]", "", cell.lower())
