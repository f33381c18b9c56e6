"""Write a table as CSV or Parquet: the same columns in both, readable by spreadsheets and by any reader of tables."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from raytl.errors import UserError
from raytl.run.atomic import write_bytes
from raytl.sanitize import as_cell, csv_cell

Columns = Mapping[str, Sequence[Any]]
"""The cells of each column by its header: text, numbers, or None for an empty cell. Columns are of one length."""


def write_table(
    columns: Columns, out: str | os.PathLike[str], numbers: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write the columns to `out` in the format of its ending, completely or not at all; `numbers` as in `as_parquet`.

    Raises:
        UserError: the ending is neither .csv nor .parquet, or `out` is a folder.
    """
    target = check_ending(out, (".csv", ".parquet"))
    write_bytes(target, as_csv(columns) if target.suffix.lower() == ".csv" else as_parquet(columns, numbers))


def check_ending(out: str | os.PathLike[str], endings: Sequence[str]) -> Path:
    """Return the path if it has one of the endings and is no folder.

    Raises:
        UserError: it is another path.
    """
    target = Path(out)
    if target.suffix.lower() not in endings:
        raise UserError(f"{out}: found the ending {target.suffix!r}, expected {' or '.join(endings)}")
    if target.is_dir():
        raise UserError(f"{out}: this is a folder; expected the name of a file to write")
    return target


def as_csv(columns: Columns) -> bytes:
    """Return RFC 4180 with \\n at line ends. Names that are not UTF-8 keep their bytes, and none is a spreadsheet formula.

    The column `path` is spelled with `./` where it would begin a formula; see `as_cell` for how to read back other text.
    """
    text = io.StringIO(newline="")
    text.write(",".join(map(csv_cell, columns)) + "\n")
    cells = ([_cell(value, name == "path") for value in values] for name, values in columns.items())
    for row in zip(*cells, strict=True):
        text.write(",".join(row) + "\n")
    return text.getvalue().encode("utf-8", "surrogateescape")


def as_parquet(columns: Columns, numbers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return the table with text as strings, numbers as int64 or float64; bytes that are not UTF-8 become `\\xNN`.

    `numbers` are the types of columns whose cells may all be empty, so that tables of one task fit together; others are strings
    then.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    arrays = [_array(values, numbers.get(name, "string")) for name, values in columns.items()]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(map(_utf8, columns))), buffer)
    return buffer.getvalue()


def _array(values: Iterable[Any], empty: str) -> Any:
    import pyarrow as pa

    cells = [_utf8(value) if isinstance(value, str) else value for value in values]
    return pa.array(cells) if any(cell is not None for cell in cells) else pa.array(cells, empty)


def _cell(value: Any, is_path: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return csv_cell(_without_formula(value) if is_path else str(value))


def _without_formula(path: str) -> str:
    """Return the same path, spelled so that it does not begin a formula."""
    return f"./{path}" if as_cell(path).startswith(f"'{path[:1]}") else path


def _utf8(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
