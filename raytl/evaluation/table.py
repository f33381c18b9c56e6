"""Predictions as a table, CSV or Parquet: path, predicted, and the probability of each class as `p_<class>`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.errors import UserError
from raytl.run.atomic import write_bytes
from raytl.sanitize import as_cell, csv_cell


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that no prediction could be made for, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Predictions:
    """The classes and probabilities of photos: `probabilities (photos, classes) float64`, rows as `paths`."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]
    weights: str
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The files in the input folders that are not photos, by the reason."""

    @property
    def predicted(self) -> tuple[str, ...]:
        """The most probable class of each photo; ties go to the first."""
        return tuple(self.classes[place] for place in self.probabilities.argmax(axis=1))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One object a photo: path, predicted and `p_<class>`."""
        header = columns(self.classes)
        cells = zip(self.paths, self.predicted, self.probabilities.tolist(), strict=True)
        return [dict(zip(header, (path, name, *row), strict=True)) for path, name, row in cells]

    def write(self, out: str | os.PathLike[str]) -> None:
        """Write the table to `out`, whole or not at all; its ending says how.

        Raises:
            UserError: the ending is neither .csv nor .parquet.
        """
        target = check_ending(out)
        write_bytes(target, as_csv(self) if target.suffix.lower() == ".csv" else as_parquet(self))


def check_ending(out: str | os.PathLike[str]) -> Path:
    """The path, when it ends in .csv or .parquet; a UserError otherwise."""
    target = Path(out)
    if target.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"{out}: found the ending {target.suffix!r}, expected .csv or .parquet")
    if target.is_dir():
        raise UserError(f"{out}: this is a folder; expected the name of a file to write")
    return target


def columns(classes: Iterable[str]) -> list[str]:
    """The table's header."""
    return ["path", "predicted", *(f"p_{name}" for name in classes)]


def as_csv(found: Predictions) -> bytes:
    """RFC 4180 but with \\n at line ends; names that are not UTF-8 keep their bytes, and none is a spreadsheet's formula.

    `as_cell` says how to read a name back that has a `'` before it.
    """
    text = io.StringIO(newline="")
    text.write(",".join(map(csv_cell, columns(found.classes))) + "\n")
    for path, name, row in zip(found.paths, found.predicted, found.probabilities.tolist(), strict=True):
        text.write(",".join((csv_cell(_spelt(path)), csv_cell(name), *(f"{each:.6g}" for each in row))) + "\n")
    return text.getvalue().encode("utf-8", "surrogateescape")


def as_parquet(found: Predictions) -> bytes:
    """Text columns as strings, probabilities as float64; bytes of names that are not UTF-8 become `\\xNN`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = [_utf8(name) for name in columns(found.classes)]
    text = [[_utf8(path) for path in found.paths], [_utf8(name) for name in found.predicted]]
    arrays = [*(pa.array(cells, pa.string()) for cells in text), *map(pa.array, found.probabilities.T)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=header), buffer)
    return buffer.getvalue()


def _spelt(path: str) -> str:
    """The same path, where it would begin a formula."""
    return f"./{path}" if as_cell(path).startswith(f"'{path[:1]}") else path


def _utf8(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
