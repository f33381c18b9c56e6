"""Read all columns of a CSV, Parquet or JSONL table, for annotations with a row for each object or a column for each attribute."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from raytl.data.formats.cells import CHUNK_ROWS, MAX_ROWS
from raytl.data.formats.rows import parts_in
from raytl.errors import DataError
from raytl.store.counted import BOMB_BYTES, BOMB_RATIO, ByteCount, TooManyBytes
from raytl.stored.document import parse_text
from raytl.stored.fault import Fault

_DELIMITERS = ",;\t|"
_MAX_COLUMNS = 10_000
_CELL_BYTES = 64
_MAX_LINE_CHARS = 1 << 24


@dataclass(frozen=True)
class TableRows:
    """The `header` of a table and its rows, each with its place (`boxes.csv line 7`) and as many cells."""

    header: tuple[str, ...]
    rows: Iterator[tuple[str, Sequence[Any]]]


def table_rows(place: Path) -> TableRows:
    """Return the rows of a table file, or of its parts if it is a folder of parts with one header.

    Raises:
        DataError: it cannot be read, now or while its rows are iterated.
    """
    files = [place / part for part in parts_in(place)] or [place]
    try:
        tables = [_READERS[file.suffix.lower()](file) for file in files if file.stat().st_size]
    except OSError as exc:
        raise DataError(f"{place}: cannot be read ({exc.strerror or exc})") from exc
    if not tables:
        return TableRows((), iter(()))
    header = tables[0].header
    if any(table.header != header for table in tables):
        raise DataError(f"{place}: its parts have different columns; expected the same in all. Rewrite the table")
    if len(header) > _MAX_COLUMNS:
        raise DataError(f"{place}: {len(header):,} columns; expected at most {_MAX_COLUMNS:,}")
    return TableRows(header, _bounded(place, chain.from_iterable(table.rows for table in tables)))


def _bounded(place: Path, rows: Iterator[tuple[str, Sequence[Any]]]) -> Iterator[tuple[str, Sequence[Any]]]:
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            raise DataError(f"{place}: the table has more than {MAX_ROWS:,} rows; expected at most that many. Split it")
        yield row


def _csv_rows(file: Path) -> TableRows:
    lines = _lines(file)
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    header = tuple(cell.strip() for cell in next(_cells(file, reader), []))
    return TableRows(header, _csv_body(file, reader, header))


def _csv_body(file: Path, reader: Any, header: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for cells in _cells(file, reader):
        if len(cells) > len(header):
            raise DataError(
                f"{file}: line {reader.line_num}: {len(cells)} cells in {len(header)} columns; "
                "quote cells that contain the delimiter"
            )
        if any(map(str.strip, cells)):
            yield f"{file.name} line {reader.line_num}", [*cells, *[""] * (len(header) - len(cells))]


def _cells(file: Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as exc:
        raise DataError(f'{file}: line {reader.line_num} is not CSV ({exc}); quote cells with "') from exc


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of a text file with their ends: UTF-8, or Excel's UTF-16."""
    number = 0
    try:
        with file.open("rb") as data:
            encoding = "utf-16" if data.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with file.open(encoding=encoding, newline="") as stream:
            while line := stream.readline(_MAX_LINE_CHARS + 1):
                number += 1
                if len(line) > _MAX_LINE_CHARS:
                    raise DataError(f"{file}: line {number} has more than {_MAX_LINE_CHARS:,} characters")
                yield line
    except UnicodeDecodeError as exc:
        raise DataError(f"{file}: not UTF-8 text after line {number}; save it as UTF-8") from exc
    except OSError as exc:
        raise DataError(f"{file}: cannot be read ({exc.strerror or exc})") from exc


def _jsonl_rows(file: Path) -> TableRows:
    """Return the rows of a JSONL file, with the keys of its first record as columns; other keys are an error."""
    numbered = ((number, line) for number, line in enumerate(_lines(file), start=1) if line.strip())
    first = next(((number, _record(file, number, line)) for number, line in numbered), None)
    if first is None:
        return TableRows((), iter(()))
    header = tuple(first[1])
    records = chain([first], ((number, _record(file, number, line)) for number, line in numbered))
    return TableRows(header, _jsonl_body(file, records, header))


def _jsonl_body(
    file: Path, records: Iterator[tuple[int, dict[str, Any]]], header: Sequence[str]
) -> Iterator[tuple[str, Sequence[Any]]]:
    seen = set(header)
    for number, record in records:
        if new := record.keys() - seen:
            raise DataError(
                f"{file}: line {number} has the key {min(new)[:60]!r}, which the first line lacks; expected the same keys"
            )
        yield f"{file.name} line {number}", [record.get(key) for key in header]


def _record(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = parse_text(line)
    except Fault as fault:
        raise DataError(f"{file}: line {number}: {fault}; expected one JSON object per line") from fault
    if not isinstance(value, dict):
        raise DataError(f"{file}: line {number}: expected one JSON object per line")
    return value


def _parquet_rows(file: Path) -> TableRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            return TableRows(tuple(opened.schema_arrow.names), _parquet_batches(file))
    except pa.ArrowException as exc:
        raise DataError(f"{file}: not a Parquet file ({exc})") from exc


def _parquet_batches(file: Path) -> Iterator[tuple[str, Sequence[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, number = ByteCount(max(BOMB_BYTES, BOMB_RATIO * file.stat().st_size)), 0
    try:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(CHUNK_ROWS):
                count.add(batch.nbytes + batch.num_rows * batch.num_columns * _CELL_BYTES)
                for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield f"{file.name} row {number}", cells
    except pa.ArrowException as exc:
        raise DataError(f"{file}: not a Parquet file ({exc})") from exc
    except TooManyBytes as exc:
        raise DataError(
            f"{file}: its rows inflate to more than {BOMB_RATIO} times its size. Rewrite the table"
        ) from exc


_READERS = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
