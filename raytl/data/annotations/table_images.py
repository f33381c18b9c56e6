"""Find the images that a table lists, each once, by the rules of manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.data.formats import tables
from raytl.data.formats.rows import Rows
from raytl.data.manifest import Sample
from raytl.errors import DataError

_LABEL = "-"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """The first row of an image: its place, the path as it is written there, and its split."""

    place: str
    path: str
    split: str


@dataclass(frozen=True)
class TableImages:
    """The images that the table at `place` lists; `elsewhere` maps paths of buckets to files on this node."""

    place: Path
    uri: str
    elsewhere: Mapping[str, str]

    def resolved(self, rows: Sequence[ImageRow]) -> dict[str, Sample]:
        """Return the sample of each path, with `-` as its target.

        Raises:
            DataError: missing files, unknown splits, or two spellings of one path; all are listed.
        """
        table = table_of(self.place, rows)
        samples, repeated = tables.resolved(table, self.uri, self.elsewhere)
        if repeated:
            raise DataError(
                f"{self.uri}: {repeated} images have two spellings of their path; expected one. Use the same in all rows"
            )
        return {row.path: sample for row, sample in zip(rows, samples, strict=True)}


def table_of(place: Path, rows: Sequence[ImageRow]) -> tables.Table:
    """Return a table with a row for each image."""
    listed = Rows()
    listed.begin("row ")
    for number, row in enumerate(rows):
        listed.paths.append(row.path)
        listed.labels.append(_LABEL)
        listed.splits.append(row.split)
        listed.numbers.append(_number(row.place, number))
    return tables.Table(place, listed)


def _number(place: str, otherwise: int) -> int:
    last = place.rpartition(" ")[2]
    return int(last) if last.isdigit() else otherwise
