"""Find the columns of a table that hold path, label and split, and explain headers that lack them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from raytl.config.problems import near_miss
from raytl.data.decode import IMAGE_SUFFIXES
from raytl.errors import DataError

_ALL = ("path", "label", "split")
_MAX_LISTED = 20
_ABSENT = -1
_PATH_NAMES = (
    "file", "files", "filename", "filenames", "fname", "filepath", "filepaths", "paths", "image", "images", "imagefile",
    "imagefilename", "imagename", "imagepath", "imageuri", "imageurl", "img", "imgname", "imgpath", "photo", "picture",
    "uri", "url", "location",
)  # fmt: skip
_LABEL_NAMES = (
    "labels", "labelname", "class", "classes", "classname", "classlabel", "classid", "category", "categories",
    "categoryname", "target", "targets", "tag", "y", "species", "diagnosis", "groundtruth",
)  # fmt: skip
_SYNONYMS = {"path": frozenset(_PATH_NAMES), "label": frozenset(_LABEL_NAMES)}


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of each column; -1, one past the last cell, for an absent one."""

    path: int
    label: int
    split: int

    @property
    def places(self) -> tuple[int, int, int]:
        """Return the positions of path, label and split."""
        return self.path, self.label, self.split


def columns_of(
    file: Path,
    header: Sequence[str],
    given: Collection[str],
    labeled: bool,
    *,
    where: str = "",
    delimiter: str = ",",
) -> Columns:
    """Return the positions of the columns in `header`; those `given` elsewhere may be absent; only `labeled` rows need a label.

    Raises:
        DataError: a required column is absent or occurs twice.
    """
    names = [_name(each) for each in header]
    wanted = _ALL if labeled else ("path", "split")
    needed = {"path", "label"}.intersection(wanted).difference(given)
    wrong = [name for name in wanted if names.count(name) > 1 or (name in needed and name not in names)]
    if wrong:
        raise DataError(f"{f'{file} {where}'.rstrip()}: {_fault(header, wrong, wanted, delimiter)}")
    return Columns(*(names.index(name) if name in wanted and name in names else _ABSENT for name in _ALL))


def fitness(header: Sequence[str]) -> tuple[int, ...]:
    """Return a score of `header` for comparing delimiters: higher if more columns are named, with path first."""
    names = [_name(each) for each in header]
    near = sum(_plain(name) in meant for name in names for meant in _SYNONYMS.values())
    return (*(int(name in names) for name in _ALL), near, len(names))


def _fault(header: Sequence[str], wrong: list[str], wanted: Sequence[str], delimiter: str) -> str:
    columns = ", ".join(map(repr, header[:_MAX_LISTED])) or "(none)"
    columns += f" and {len(header) - _MAX_LISTED} more" if len(header) > _MAX_LISTED else ""
    if "path" in wrong and any(PurePosixPath(cell.strip()).suffix.lower() in IMAGE_SUFFIXES for cell in header):
        return (
            f"the header is missing: the first row is {columns}; expected column names. "
            f"Add a first line such as {delimiter.join(_ALL[: min(2, len(header))])}"
        )
    expected = "path, label and optionally split, each once" if "label" in wanted else "one column path"
    advice = " and ".join(_advice(column, header) for column in wrong)
    return f"found the columns {columns}; expected {expected}. {advice[0].upper()}{advice[1:]}"


def _advice(column: str, header: Sequence[str]) -> str:
    if column in map(_name, header):
        return f"keep only one column {column!r}"
    name = _meant(column, header)
    return f"rename {name!r} to {column!r}" if name else f"add a column {column!r}"


def _meant(column: str, header: Sequence[str]) -> str | None:
    """Return the column of the header that was probably meant to be `column`."""
    synonyms = _SYNONYMS.get(column, frozenset())
    return next((name for name in header if _plain(name) in synonyms), None) or near_miss(column, header)


def _name(cell: str) -> str:
    return cell.strip().lower()


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]", "", cell.lower())
