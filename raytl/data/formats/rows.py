"""The one reader of tables: CSV, Parquet and JSONL files, and folders of such parts, become rows of text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from raytl.data.formats.columns import columns_of, fitness
from raytl.data.manifest import listed
from raytl.errors import DataError
from raytl.store.counted import BOMB_BYTES, BOMB_RATIO, ByteCount, TooManyBytes
from raytl.stored.document import parse_text
from raytl.stored.fault import Fault

TOO_MANY_CELLS = "rows of too many cells (quote paths that hold the delimiter)"
NOT_ONE_PATH = "paths that are lists or objects (expected one path a row)"
NOT_ONE_LABEL = "labels that are lists or objects (expected one class a row)"

_DELIMITERS = ",;\t|"
_HINT = re.compile(
    r'[\r\n]*"?sep=([^"\r\n])"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE
)  # Excel: the delimiter, above the header
_HEADER_CHARS = 1 << 20
_WHOLE = re.compile(r"[-+]?\d+\.0")
_NOT_A_NUMBER = frozenset({"nan", "<na>"})
_BATCH_ROWS = 1 << 16
_CELL_BYTES = 64
"""Of an empty cell in memory."""
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class Row(NamedTuple):
    """One row as text: `where` is its place (`line 7`), `fault` what is wrong with its cells, or empty."""

    where: str
    path: str
    label: str
    split: str
    fault: str = ""


class _Raw(NamedTuple):
    """One row as its format has it."""

    number: int
    path: Any
    label: Any
    split: Any
    surplus: bool = False


def is_table_name(name: str | Path) -> bool:
    """Return whether a file, folder or URI of this name is a table by its ending."""
    return PurePosixPath(str(name).rstrip("/")).suffix.lower() in _READERS


def parts_among(keys: Iterable[str], table: str) -> list[str]:
    """Return those of `keys` in the folder `table` that are its parts, in order; none where it is no folder of parts.

    Names that begin with `_` or `.` are not data (`_SUCCESS`, `.part-0.crc`), except partitions such as `_day=1`.

    Raises:
        DataError: other files lie among the parts.
    """
    ending = PurePosixPath(table).suffix.lower()
    data = sorted(key for key in keys if not any(_is_note(part) for part in key.split("/")))
    parts = [key for key in data if PurePosixPath(key).suffix.lower() == ending]
    if parts and len(parts) < len(data):
        others = sorted(set(data) - set(parts))
        raise DataError(
            f"{table}: {len(others)} files in this folder are not parts of the table; expected only {ending} files. "
            f"Move them out:\n{listed([repr(key) for key in others])}"
        )
    return parts


def parts_in(table: Path) -> list[str]:
    """Return the parts of a table on this machine: none where it is a file, or a folder of something else."""
    if not table.is_dir():
        return []
    files = (path for path in table.rglob("*") if path.is_file())
    return parts_among((path.relative_to(table).as_posix() for path in files), str(table))


def read_rows(table: Path, parts: Sequence[str], labelled: bool) -> list[Row]:
    """Return the rows of a table: of the file, or of `parts` in the folder. Without `labelled` only paths are read.

    Raises:
        DataError: a file cannot be read, is not of its format, or lacks a column.
    """
    rows: list[Row] = []
    try:
        for part in parts:
            if (file := table / part).stat().st_size:  # Spark leaves parts of no rows, and no header in them
                rows += _rows_of(file, _partition(part), f"{part} ", labelled)
        return rows if parts else list(_rows_of(table, {}, "", labelled))
    except OSError as exc:
        raise DataError(f"{table}: cannot be read ({exc.strerror or exc})") from exc


def _rows_of(file: Path, partition: Mapping[str, str], prefix: str, labelled: bool) -> Iterator[Row]:
    """The rows of one file; `partition` has the columns that the names of its folders hold."""
    read = _READERS[file.suffix.lower()]
    unit = f"{prefix}{'row' if read is _parquet_rows else 'line'} "
    own_label, own_split = partition.get("label", ""), partition.get("split", "")
    for number, path, label, split, surplus in read(file, frozenset(partition), labelled):
        fault = TOO_MANY_CELLS if surplus else ""
        if isinstance(path, list | dict):
            fault = NOT_ONE_PATH
        elif isinstance(label, list | dict):
            fault = NOT_ONE_LABEL
        yield Row(
            f"{unit}{number}",
            _text(path),
            _class(own_label if label is None else _text(label)),
            _class(own_split if split is None else _text(split)),
            fault,
        )


def _partition(part: str) -> dict[str, str]:
    """The columns in the folders of `label=cat/part-0.parquet`, as Hive and Spark name them."""
    pairs = (folder.partition("=") for folder in part.split("/")[:-1])
    return {
        unquote(key).strip().lower(): "" if value == _NO_PARTITION else unquote(value)
        for key, equals, value in pairs
        if equals
    }


def _is_note(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _csv_rows(file: Path, given: frozenset[str], labelled: bool) -> Iterator[_Raw]:
    text = _decoded(file, labelled)
    delimiter, start = _dialect(text)
    above = len(re.findall(r"\r\n|\r|\n", text[:start]))
    stream = io.StringIO(text, newline="")
    stream.seek(start)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    try:
        header = next((row for row in reader if any(row)), [])
        columns = columns_of(file, header, given, labelled, delimiter=delimiter)
        path, label, split = columns.places
        width = len(header)
        for row in reader:
            if any(map(str.strip, row)):
                cells: list[str | None] = [*row, *[""] * (width - len(row)), None]  # the last is of a column not there
                yield _Raw(reader.line_num + above, cells[path], cells[label], cells[split], len(row) > width)
    except csv.Error as exc:
        raise DataError(
            f'{file}: line {reader.line_num + above} is not CSV ({exc}); quote cells with " and double it inside'
        ) from exc


def _dialect(text: str) -> tuple[str, int]:
    """The delimiter, and where the header begins: what Excel's hint says, else that which finds most of the columns."""
    if hint := _HINT.match(text):
        return hint[1], hint.end()
    headers = {delimiter: _header(text[:_HEADER_CHARS], delimiter) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: fitness(headers[delimiter])), 0


def _header(text: str, delimiter: str) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return next((row for row in reader if any(row)), [])
    except csv.Error:  # quotes do not fit to this delimiter
        return []


def _jsonl_rows(file: Path, given: frozenset[str], labelled: bool) -> Iterator[_Raw]:
    broken = []
    known: dict[tuple[str, ...], tuple[int, ...]] = {}
    for number, line in enumerate(re.split(r"\r\n|\r|\n", _decoded(file, labelled)), start=1):
        if not line.strip():
            continue
        record = _json_object(line)
        if record is None:
            broken.append(f"line {number}: {line.strip()[:80]!r}")
            continue
        keys = tuple(record)
        if keys not in known:
            known[keys] = columns_of(file, keys, given, labelled, where=f"line {number}").places
        cells = [*record.values(), None]
        path, label, split = known[keys]
        yield _Raw(number, cells[path], cells[label], cells[split])
    if broken:
        example = '{"path": ..., "label": ...}' if labelled else '{"path": ...}'
        raise DataError(f"{file}: expected one object a line, {example}; found\n{listed(broken)}")


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        value = parse_text(line)
    except Fault:
        return None
    return value if isinstance(value, dict) else None


def _parquet_rows(file: Path, given: frozenset[str], labelled: bool) -> Iterator[_Raw]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, number = ByteCount(max(BOMB_BYTES, BOMB_RATIO * file.stat().st_size)), 0
    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            places = columns_of(file, names, given, labelled).places
            wanted = [names[place] for place in places if place >= 0]
            texts = _texts_in(opened, wanted, count)
        with pq.ParquetFile(
            file, read_dictionary=texts
        ) as opened:  # repeated cells are one in memory until they are counted
            for batch in opened.iter_batches(_BATCH_ROWS, columns=wanted):
                found = [batch.column(names[place]) if place >= 0 else None for place in places]
                cells = [[None] * batch.num_rows if column is None else _cells(column, count) for column in found]
                yield from map(_Raw, range(number + 1, number + batch.num_rows + 1), *cells)
                number += batch.num_rows
    except pa.ArrowException as exc:
        raise DataError(f"{file}: not a Parquet file ({exc})") from exc
    except TooManyBytes as exc:
        raise DataError(
            f"{file}: its rows take more than {BOMB_RATIO} times its size; expected one short path a row. Write the table again"
        ) from exc


def _texts_in(opened: Any, wanted: Sequence[str], count: ByteCount) -> list[str]:
    """Return those of the columns that hold texts of any length; the bytes of others of a fixed length are counted."""
    columns = [opened.schema.column(place) for place in range(len(opened.schema))]
    columns = [column for column in columns if column.path in wanted]
    count.add(sum(max(0, column.length) for column in columns) * opened.metadata.num_rows)
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _cells(column: Any, count: ByteCount) -> list[Any]:
    """Return the cells of a column, once their bytes are counted, each as often as it is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    count.add(len(column) * _CELL_BYTES)
    if not pa.types.is_dictionary(column.type):
        count.add(column.nbytes)
        return list(column.to_pylist())
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    count.add(pc.sum(lengths).as_py() or 0)
    return list(column.cast(column.type.value_type).to_pylist())


def _decoded(file: Path, labelled: bool) -> str:
    """The text of a UTF-8 file, with or without a byte order mark, or of Excel's UTF-16.

    Without labels, bytes that are not UTF-8 stay as they are: they may be those of a file's name.
    """
    data = file.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding, "strict" if labelled or encoding == "utf-16" else "surrogateescape")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise DataError(
            f"{file}: line {line} is not {encoding.removesuffix('-sig').upper()} text; save the table as UTF-8"
        ) from exc


def _text(value: Any) -> str:
    """A cell as CSV would show it; null and NaN are empty."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=4096)
def _class(text: str) -> str:
    """A label without blanks around it; 1.0 is the class 1, as tables with gaps hold whole numbers as floats, and NaN is empty."""
    label = text.strip()
    if label.lower() in _NOT_A_NUMBER:
        return ""
    return label[:-2] if _WHOLE.fullmatch(label) else label


_READERS: dict[str, Callable[[Path, frozenset[str], bool], Iterator[_Raw]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
    ".jsonl": _jsonl_rows,
}
