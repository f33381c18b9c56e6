"""Read CSV, Parquet and JSONL files, and folders of such parts, into rows of text; the only reader of tables."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, compress, islice
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TextIO
from urllib.parse import unquote

from raytl.data.formats.cells import CHUNK_ROWS, MAX_ROWS, Cells
from raytl.data.formats.columns import columns_of, fitness
from raytl.data.formats.parquet import parquet_cells
from raytl.data.manifest import listed
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.stored.document import parse_text
from raytl.stored.fault import Fault

TOO_MANY_CELLS = "rows with too many cells (quote paths that contain the delimiter)"
NOT_ONE_PATH = "paths that are lists or objects (expected one path per row)"
NOT_ONE_LABEL = "labels that are lists or objects (expected one class per row)"

TOO_LONG = "rows with a path or a label of more than 4096 characters"
MAX_CHARS = 4096
_DELIMITERS = ",;\t|"
_HINT = re.compile(
    r'[\r\n]*"?sep=([^"\r\n])"?[ \t]*(\r\n|\r|\n|$)', re.IGNORECASE
)  # from Excel: the delimiter in a line above the header
_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER_CHARS = 1 << 20
_WHOLE = re.compile(r"[-+]?\d+\.0")
_NOT_A_NUMBER = frozenset({"nan", "<na>"})
_TEXTUAL = {str, type(None)}
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class Row(NamedTuple):
    """One row as text; `where` is its location (`line 7`), `fault` the problem with its cells or empty."""

    where: str
    path: str
    label: str
    split: str
    fault: str = ""


class Rows:
    """The rows of a table by column (millions of objects would take gigabytes); `numbers` are line or row numbers."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.labels: list[str] = []
        self.splits: list[str] = []
        self.numbers = array("q")
        self.faults: dict[int, str] = {}
        """The problem with the cells of a row, by its index."""
        self._units: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Row]:
        for index, columns in enumerate(zip(self.paths, self.labels, self.splits, strict=True)):
            yield Row(self.where(index), *columns, self.faults.get(index, ""))

    def begin(self, unit: str) -> None:
        """Start rows whose location is `unit` and their number: `part-0.csv line 7`."""
        self._units.append((len(self), unit))

    def where(self, index: int) -> str:
        """Return the location of the row at `index`."""
        unit = self._units[bisect_right(self._units, index, key=itemgetter(0)) - 1][1]
        return f"{unit}{self.numbers[index]}"


def parts_among(keys: Iterable[str], table: str) -> list[str]:
    """Return the `keys` in the folder `table` that are its parts, sorted; none if it is not a folder of parts.

    Names that start with `_` or `.` are not data (`_SUCCESS`, `.part-0.crc`), except partitions such as `_day=1`.

    Raises:
        DataError: the folder also contains other files.
    """
    ending = PurePosixPath(table).suffix.lower()
    data = sorted(key for key in keys if not any(_is_metadata(part) for part in key.split("/")))
    parts = [key for key in data if PurePosixPath(key).suffix.lower() == ending]
    if parts and len(parts) < len(data):
        others = sorted(set(data) - set(parts))
        raise DataError(
            f"{table}: {len(others)} files in this folder are not parts of the table; expected only {ending} files. "
            f"Move them out:\n{listed([repr(key) for key in others])}"
        )
    return parts


def parts_in(table: Path) -> list[str]:
    """Return the parts of a table on this machine; none if it is a file or some other folder."""
    if not table.is_dir():
        return []
    files = (path for path in table.rglob("*") if path.is_file())
    return parts_among((path.relative_to(table).as_posix() for path in files), str(table))


def read_rows(table: Path, parts: Sequence[str], labeled: bool, on_event: OnEvent = ignore) -> Rows:
    """Return the rows of a table file, or of its `parts` if it is a folder; without `labeled`, labels are not read.

    Raises:
        DataError: a file cannot be read, is not in its format, lacks a column, or has too many rows.
    """
    rows = Rows()
    try:
        for part in parts:
            if (file := table / part).stat().st_size:  # Spark writes empty parts without a header
                _add_file(rows, file, _partition(part), f"{part} ", labeled, on_event)
        if not parts:
            _add_file(rows, table, {}, "", labeled, on_event)
    except OSError as exc:
        raise DataError(f"{table}: cannot be read ({exc.strerror or exc})") from exc
    return rows


def _add_file(
    rows: Rows, file: Path, partition: Mapping[str, str], prefix: str, labeled: bool, on_event: OnEvent
) -> None:
    """Add the rows of one file; `partition` has the columns defined by the names of its folders."""
    read = _READERS[file.suffix.lower()]
    rows.begin(f"{prefix}{'row' if read is parquet_cells else 'line'} ")
    labels, splits = _Classes(partition.get("label", "")), _Classes(partition.get("split", ""))
    report, size = throttled(on_event), file.stat().st_size
    for cells in read(file, frozenset(partition), labeled):
        _add(rows, cells, labels, splits)
        if len(rows) > MAX_ROWS:
            raise DataError(
                f"{file}: the table has more than {MAX_ROWS:,} rows; expected at most that many. Split the table."
            )
        report(Work(f"reading {file.name}", int(cells.progress * size), size, "bytes"))


def _add(rows: Rows, cells: Cells, labels: _Classes, splits: _Classes) -> None:
    start = len(rows)
    rows.numbers.extend(cells.numbers)
    rows.paths += [path if type(path) is str else _text(path) for path in cells.paths]
    for column, classes, values in ((rows.labels, labels, cells.labels), (rows.splits, splits, cells.splits)):
        own = classes.own
        column += [classes[cell if type(cell) is str else _text(cell)] if cell is not None else own for cell in values]
    if not (_are_short(cells.paths) and _are_short(cells.labels)):
        faults = map(_fault, cells.paths, cells.labels)
        rows.faults.update((index, fault) for index, fault in enumerate(faults, start) if fault)
    rows.faults.update((start + index, TOO_MANY_CELLS) for index in cells.surplus)


def _are_short(cells: Sequence[Any]) -> bool:
    """Return whether all are text or missing, and none is too long; a million of them take a fifth of the time of `_fault`."""
    return {*map(type, cells)} <= _TEXTUAL and max(map(len, filter(None, cells)), default=0) <= MAX_CHARS


def _fault(path: Any, label: Any) -> str:
    """Return the problem with the cells of a row; empty if there is none."""
    if type(path) is str and (label is None or type(label) is str):
        return TOO_LONG if len(path) > MAX_CHARS or (label and len(label) > MAX_CHARS) else ""
    if isinstance(path, list | dict):
        return NOT_ONE_PATH
    return NOT_ONE_LABEL if isinstance(label, list | dict) else ""


class _Classes(dict[str, str]):
    """Normalized labels or splits by cell text, each computed once; `own` is used for rows without a cell."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self.own = _class(own)

    def __missing__(self, cell: str) -> str:
        name = self[cell] = _class(cell)
        return name


def _partition(part: str) -> dict[str, str]:
    """Return the columns in the folder names of `label=cat/part-0.parquet`, the convention of Hive and Spark."""
    pairs = (folder.partition("=") for folder in part.split("/")[:-1])
    return {
        unquote(key).strip().lower(): "" if value == _NO_PARTITION else unquote(value)
        for key, equals, value in pairs
        if equals
    }


def _is_metadata(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _csv_cells(file: Path, given: frozenset[str], labeled: bool) -> Iterator[Cells]:
    with _opened(file, labeled) as stream:
        delimiter, above = _dialect(stream.read(_HEADER_CHARS))
    with _opened(file, labeled) as stream:
        lines = islice(stream, above, None)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next((row for row in reader if any(row)), [])
            places = columns_of(file, header, given, labeled, delimiter=delimiter).places
            before = reader.line_num
            while rows := list(islice(reader, CHUNK_ROWS)):
                numbers = _lines_of(rows, before + above, reader.line_num + above)
                yield _csv_chunk(rows, numbers, places, len(header), _progress(stream))
                before = reader.line_num
        except csv.Error as exc:
            raise DataError(
                f'{file}: line {reader.line_num + above} is not CSV ({exc}); quote cells with " and double it inside'
            ) from exc


def _lines_of(rows: Sequence[Sequence[str]], before: int, last: int) -> Sequence[int]:
    """Return the line on which each row ends; a row spans lines if its quoted cells contain line breaks."""
    if last - before == len(rows):
        return range(before + 1, last + 1)
    return list(accumulate((1 + sum(len(_LINE_END.findall(cell)) for cell in row) for row in rows), initial=before))[1:]


def _csv_chunk(
    rows: Sequence[list[str]], numbers: Sequence[int], places: Sequence[int], width: int, progress: float
) -> Cells:
    filled = [any(map(str.strip, row)) for row in rows]
    full, lines = list(compress(rows, filled)), list(compress(numbers, filled))
    if any(len(row) < width for row in full):
        full = [[*row, *[""] * (width - len(row))] for row in full]
    paths, labels, splits = ([row[place] for row in full] if place >= 0 else [None] * len(full) for place in places)
    surplus = [index for index, row in enumerate(full) if len(row) > width]
    return Cells(lines, paths, labels, splits, progress, surplus)


@contextmanager
def _opened(file: Path, labeled: bool) -> Iterator[TextIO]:
    """Yield the lines of a text file including their line breaks.

    It is UTF-8, with or without a byte order mark, or Excel's UTF-16. Without labels, bytes that are not UTF-8 are
    preserved, as they may belong to a file name.

    Raises:
        DataError: it is not such text; the line is given.
    """
    with file.open("rb") as data:
        encoding = "utf-16" if data.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    errors = "strict" if labeled or encoding == "utf-16" else "surrogateescape"
    try:
        with file.open(encoding=encoding, errors=errors, newline="") as stream:
            yield stream
    except UnicodeDecodeError as exc:
        raise DataError(
            f"{file}: line {_broken_line(file, encoding)} is not {encoding.removesuffix('-sig').upper()} text; "
            "save the table as UTF-8"
        ) from exc


def _progress(stream: TextIO) -> float:
    """Return the fraction of an opened file that has been read."""
    return stream.buffer.tell() / max(1, os.fstat(stream.fileno()).st_size)


def _broken_line(file: Path, encoding: str) -> int:
    """Return the number of the first undecodable line."""
    data = file.read_bytes()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as exc:
        return data[: exc.start].count(b"\n") + 1
    return 1


def _dialect(text: str) -> tuple[str, int]:
    """Return the delimiter and the number of lines above the header: from Excel's hint, else the one that finds most columns."""
    if hint := _HINT.match(text):
        return hint[1], len(_LINE_END.findall(hint[0])) + (not hint[2])
    headers = {delimiter: _header(text, delimiter) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: fitness(headers[delimiter])), 0


def _header(text: str, delimiter: str) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return next((row for row in reader if any(row)), [])
    except csv.Error:  # the quoting does not match this delimiter
        return []


def _jsonl_cells(file: Path, given: frozenset[str], labeled: bool) -> Iterator[Cells]:
    broken: list[str] = []
    places_of: dict[tuple[str, ...], tuple[int, ...]] = {}
    with _opened(file, labeled) as stream:
        numbered = ((number, line) for number, line in enumerate(stream, start=1) if line.strip())
        while chunk := list(islice(numbered, CHUNK_ROWS)):
            rows = []
            for number, line in chunk:
                record = _json_object(line)
                if record is None:
                    broken.append(f"line {number}: {line.strip()[:80]!r}")
                    continue
                keys = tuple(record)
                places = places_of.get(keys)
                if places is None:
                    places = places_of[keys] = columns_of(file, keys, given, labeled, where=f"line {number}").places
                cells = [*record.values(), None]
                rows.append((number, *(cells[place] for place in places)))
            if rows:
                numbers, paths, labels, splits = zip(*rows, strict=True)
                yield Cells(numbers, paths, labels, splits, _progress(stream))
    if broken:
        example = '{"path": ..., "label": ...}' if labeled else '{"path": ...}'
        raise DataError(f"{file}: expected one JSON object per line, {example}; found\n{listed(broken)}")


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        value = parse_text(line)
    except Fault:
        return None
    return value if isinstance(value, dict) else None


def _text(value: Any) -> str:
    """Return a cell as CSV would show it; null and NaN are empty."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _class(text: str) -> str:
    """Return a label without surrounding whitespace; 1.0 becomes 1, as tables with gaps store integers as floats; NaN is empty."""
    label = text.strip()
    if label.lower() in _NOT_A_NUMBER:
        return ""
    return label[:-2] if _WHOLE.fullmatch(label) else label


_READERS: dict[str, Callable[[Path, frozenset[str], bool], Iterator[Cells]]] = {
    ".csv": _csv_cells,
    ".tsv": _csv_cells,
    ".parquet": parquet_cells,
    ".jsonl": _jsonl_cells,
}
