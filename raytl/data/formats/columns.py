"""Which columns of a table hold path, label and split, and what to do about a header that does not say so."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from raytl.config.problems import near_miss
from raytl.data.decode import IMAGE_SUFFIXES
from raytl.errors import DataError

_ALL = ("path", "label", "split")
_SHOWN = 20
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
_MEANT = {"path": frozenset(_PATH_NAMES), "label": frozenset(_LABEL_NAMES)}


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of each wanted column; -1, one behind the last cell, for one that the table does not have."""

    path: int
    label: int
    split: int

    @property
    def places(self) -> tuple[int, int, int]:
        """The positions of path, label and split."""
        return self.path, self.label, self.split


def columns_of(
    file: Path,
    header: Sequence[str],
    given: Collection[str],
    labelled: bool,
    *,
    where: str = "",
    delimiter: str = ",",
) -> Columns:
    """Return where in `header` the columns are; those `given` elsewhere may be absent, and only `labelled` rows need a label.

    Raises:
        DataError: a needed column is absent, or one is there twice.
    """
    names = [_name(each) for each in header]
    wanted = ("path", "label", "split") if labelled else ("path",)
    needed = {"path", "label"}.intersection(wanted).difference(given)
    wrong = [name for name in wanted if names.count(name) > 1 or (name in needed and name not in names)]
    if wrong:
        raise DataError(f"{f'{file} {where}'.rstrip()}: {_fault(header, wrong, wanted, delimiter)}")
    return Columns(*(names.index(name) if name in wanted and name in names else _ABSENT for name in _ALL))


def fitness(header: Sequence[str]) -> tuple[int, ...]:
    """Return how well `header` names the columns, for comparison with other ways to split it: path counts most."""
    names = [_name(each) for each in header]
    near = sum(_plain(name) in meant for name in names for meant in _MEANT.values())
    return (*(int(name in names) for name in _ALL), near, len(names))


def _fault(header: Sequence[str], wrong: list[str], wanted: Sequence[str], delimiter: str) -> str:
    found = ", ".join(map(repr, header[:_SHOWN])) or "(none)"
    found += f" and {len(header) - _SHOWN} more" if len(header) > _SHOWN else ""
    if "path" in wrong and any(PurePosixPath(cell.strip()).suffix.lower() in IMAGE_SUFFIXES for cell in header):
        return (
            f"the header is missing: the first row holds {found}; expected the names of the columns. "
            f"Write them as the first line, such as {delimiter.join(_ALL[: min(2, len(header))])}"
        )
    expected = "path, label and perhaps split, each once" if "label" in wanted else "a column path, once"
    renamed = [f"{name!r} to {column!r}" for column in wrong if (name := _meant(column, header))]
    advice = f". Rename {' and '.join(renamed)}" if renamed else ""
    return f"found the columns {found}; expected {expected}: mend {' and '.join(wrong)}{advice}"


def _meant(column: str, header: Sequence[str]) -> str | None:
    """The column of the header that was probably meant to be `column`."""
    if column in map(_name, header):  # it is there twice
        return None
    known = _MEANT.get(column, frozenset())
    return next((name for name in header if _plain(name) in known), None) or near_miss(column, header)


def _name(cell: str) -> str:
    return cell.strip().lower()


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]", "", cell.lower())
