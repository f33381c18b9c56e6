"""Predictions as a table, in CSV or Parquet: path, predicted, and the probability of each class as `p_<class>`."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.errors import UserError
from raytl.run.atomic import write_bytes
from raytl.sanitize import as_cell, csv_cell
from raytl.tasks.judgement import Judgement, cell_text, judgement_columns
from raytl.tasks.reporting import Unreadable


@dataclass(frozen=True)
class Predictions:
    """The classes and probabilities of photos: `probabilities (photos, classes) float64`, in the order of `paths`."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    unreadable: tuple[Unreadable, ...]
    weights: str
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The files in the input folders that are not photos, by reason."""
    judgements: tuple[Judgement, ...] | None = None
    """What a report lets expect of each answer; None if no operating points were applied."""

    @property
    def predicted(self) -> tuple[str, ...]:
        """The most probable class of each photo; ties go to the first."""
        return tuple(self.classes[place] for place in self.probabilities.argmax(axis=1))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per photo: path, predicted, the columns of judgements if there are some, and `p_<class>`."""
        header = columns(self.classes, self.judged)
        cells = zip(self.paths, self.predicted, *self.judged.values(), *self.probabilities.T.tolist(), strict=True)
        return [dict(zip(header, row, strict=True)) for row in cells]

    @cached_property
    def judged(self) -> dict[str, list[Any]]:
        """The columns of judgements: `answered`, `set`, `unfamiliar` and `is_<class>`, as far as they were asked for."""
        return judgement_columns(self.judgements)

    @property
    def counts(self) -> dict[str, int]:
        """The number of photos by predicted class, the most frequent first."""
        return dict(Counter(self.predicted).most_common())

    @property
    def unit(self) -> str:
        """Unit of `counts`."""
        return "photos"

    def preview(self, count: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the first `count` rows of a table for people."""
        cells = zip(self.paths[:count], self.predicted, *self.judged.values(), self.probabilities, strict=False)
        rows: list[tuple[str, ...]] = [
            (path, name, *(cell_text(cell) or "–" for cell in more), f"{100 * float(max(row)):.1f} %")
            for path, name, *more, row in cells
        ]
        return ("photo", "predicted", *self.judged, "probability"), rows

    def write(self, out: str | os.PathLike[str], format: str | None = None) -> None:
        """Write the table to `out` in `format` (csv or parquet), or in that of its ending, completely or not at all.

        Raises:
            UserError: there is no such format or ending.
        """
        target = check_output(out, format)
        chosen = format or target.suffix.lower().removeprefix(".")
        write_bytes(target, as_csv(self) if chosen == "csv" else as_parquet(self))


FORMATS = ("csv", "parquet")


def check_output(out: str | os.PathLike[str], format: str | None = None) -> Path:
    """Return the path if its ending or the `format` is that of a table, or raise a UserError."""
    target = Path(out)
    if format is not None and format not in FORMATS:
        raise UserError(f"format: found {format!r}, expected {' or '.join(FORMATS)}")
    if format is None and target.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"{out}: found the ending {target.suffix!r}, expected .csv or .parquet")
    if target.is_dir():
        raise UserError(f"{out}: this is a folder; expected the name of a file to write")
    return target


def columns(classes: Iterable[str], judged: Iterable[str] = ()) -> list[str]:
    """Return the header of the table; `judged` are the columns of judgements."""
    return ["path", "predicted", *judged, *(f"p_{name}" for name in classes)]


def as_csv(predictions: Predictions) -> bytes:
    """Return RFC 4180 with \\n at line ends. Names that are not UTF-8 keep their bytes, and none is a spreadsheet formula.

    See `as_cell` for how to read back a name that begins with `'`.
    """
    text = io.StringIO(newline="")
    text.write(",".join(map(csv_cell, columns(predictions.classes, predictions.judged))) + "\n")
    judged = zip(*predictions.judged.values(), strict=True) if predictions.judged else repeat(())
    for path, name, more, row in zip(
        predictions.paths, predictions.predicted, judged, predictions.probabilities.tolist(), strict=False
    ):
        words = (_without_formula(path), name, *map(cell_text, more))
        text.write(",".join((*map(csv_cell, words), *(f"{each:.6g}" for each in row))) + "\n")
    return text.getvalue().encode("utf-8", "surrogateescape")


def as_parquet(predictions: Predictions) -> bytes:
    """Return text columns as strings, sets as lists of strings, probabilities as float64; bytes of names that are not UTF-8
    become `\\xNN`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = [_utf8(name) for name in columns(predictions.classes, predictions.judged)]
    text = [[_utf8(path) for path in predictions.paths], [_utf8(name) for name in predictions.predicted]]
    arrays = [
        *(pa.array(cells, pa.string()) for cells in text),
        *(
            pa.array([list(map(_utf8, cell)) for cell in cells], pa.list_(pa.string()))
            if name == "set"
            else pa.array(cells, pa.bool_())
            for name, cells in predictions.judged.items()
        ),
        *map(pa.array, predictions.probabilities.T),
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=header), buffer)
    return buffer.getvalue()


def _without_formula(path: str) -> str:
    """Return the same path, spelled so that it does not begin a formula."""
    return f"./{path}" if as_cell(path).startswith(f"'{path[:1]}") else path


def _utf8(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
