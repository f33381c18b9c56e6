"""Read the columns of a manifest that have labels of several sources, as `labels.columns` names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.config.problems import near_miss
from raytl.data.annotations.boxes_table import text_of
from raytl.data.annotations.findings import Findings
from raytl.data.annotations.table_kind import path_column
from raytl.data.annotations.table_rows import table_rows
from raytl.data.formats.manifest_columns import keys_of
from raytl.data.unicode_names import nfc
from raytl.errors import DataError

_MAX_NAME = 4096
_MAX_NAMES = 20
_NO_VOTE = "rows without a label, in the column label and in those of labels.columns"
_CONFLICT = "images whose rows have different labels"


@dataclass(frozen=True)
class Votes:
    """The cells of `columns` and of the column label, for each path as the table spells it."""

    columns: tuple[str, ...]
    by_path: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]
    folder: Path

    def first(self, path: str) -> str:
        """Return the first vote of the image at `path`: its label until all votes are combined."""
        return next((each for each in self.by_path.get(path, ()) if each), "")

    def by_key(self, keys: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return the own label (or "") and the votes of each image of the manifest."""
        present = set(keys)
        result = {}
        for path, votes in self.by_path.items():
            key = next((each for each in keys_of(path, self.folder) if each in present), None)
            if key is not None:
                result[key] = (self.labels[path], votes)
        return result


def read_votes(place: Path, columns: Sequence[str]) -> Votes:
    """Return the labels of the sources in `columns` of the table at `place`.

    Raises:
        DataError: a column is missing, or cells are not usable; all at once, with their rows.
    """
    table = table_rows(place)
    names, path = [name.strip().lower() for name in table.header], path_column(table.header)
    missing = [name for name in ("label", *columns) if name.strip().lower() not in names]
    if missing or path < 0:
        columns_text = ", ".join(map(repr, table.header[:_MAX_NAMES])) + (
            ", ..." if len(table.header) > _MAX_NAMES else ""
        )
        wanted = ", ".join(f"{name!r}{_hint(name, table.header)}" for name in missing or ["path"])
        raise DataError(
            f"{place}: labels.columns: the table has no column {wanted}; expected one of {columns_text}. Fix the name; the column label "
            "may be empty where the true class is not known"
        )
    places = [names.index(name.strip().lower()) for name in columns]
    own, findings = names.index("label"), Findings()
    by_path: dict[str, tuple[str, ...]] = {}
    labels: dict[str, str] = {}
    for where, cells in table.rows:
        name, label = text_of(cells[path]), nfc(text_of(cells[own]))
        votes = tuple(nfc(text_of(cells[place])) for place in places)
        if any(len(vote) > _MAX_NAME for vote in votes):
            findings.problem(f"labels of more than {_MAX_NAME} characters", where)
        if not label and not any(votes):
            findings.problem(_NO_VOTE, f"{where}: {name!r}")
        if (by_path.setdefault(name, votes), labels.setdefault(name, label)) != (votes, label):
            findings.problem(_CONFLICT, f"{where}: {name!r}")
    findings.check(str(place), "labels.columns")
    return Votes(tuple(columns), by_path, labels, place.parent.absolute())


def _hint(name: str, header: Sequence[str]) -> str:
    near = near_miss(name, header)
    return f" (did you mean {near!r}?)" if near else ""
