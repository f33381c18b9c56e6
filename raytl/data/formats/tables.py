"""Manifests: a CSV, Parquet or JSONL table of path, label and, if the data has its own, split."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raytl.data.manifest import SPLITS, Manifest, Sample, listed, manifest_of, split_name
from raytl.data.names import Lookup, forms, nfc
from raytl.errors import DataError
from raytl.store.contract import ObjectInfo
from raytl.store.open import in_bucket

Row = tuple[str, Mapping[str, Any]]
"""Where it is (`line 7`) and its cells by column."""
_DELIMITERS = ",;\t|"
_SURPLUS = "\0"  # the column of cells beyond the header; pandas writes a column without a name, so "" is taken


def scan(
    table: Path, uri: str, elsewhere: Mapping[str, str] | None = None, objects: Mapping[str, ObjectInfo] | None = None
) -> Manifest:
    """The manifest of the table's rows; paths are relative to its folder, or absolute, or one of `elsewhere`, which says
    where that is: a file on this node, or one of `objects`, by URI. A table from a bucket names no file of this machine
    but those that were pulled with it.

    Raises:
        DataError: missing columns or files, empty labels, unknown splits, conflicting rows; all of them listed.
    """
    rows = _Rows(table.parent, elsewhere or {}, objects or {}, is_ours=not in_bucket(uri))
    for where, cells in _rows(table):
        rows.take(where, cells)
    rows.check(uri)
    notes = [f"{uri}: {rows.repeated} rows repeat another row and count once"] if rows.repeated else []
    manifest = manifest_of(uri, rows.samples.values(), warnings=notes)
    return replace(
        manifest, objects={s.path: objects[s.path] for s in manifest.samples if objects and s.path in objects}
    )


def keys_in(table: Path) -> list[str]:
    """The relative paths that the table names inside its own folder, each once in each Unicode form."""
    named = (_text(cells.get("path")) for _, cells in _rows(table))
    inside = {_named(path) for path in named if path and "://" not in path and not path.startswith("/")}
    inside = {form for path in inside for form in forms(path)}
    return sorted(key for key in inside if key != ".." and not key.startswith("../"))


def uris_in(table: Path) -> list[str]:
    """The s3:// URIs that the table names, each once in each Unicode form."""
    named = (_text(cells.get("path")).strip() for _, cells in _rows(table))
    return sorted({form for path in named if path.startswith("s3://") for form in forms(path)})


def _is_inside(path: str) -> bool:
    """True for a path below the table's folder, however its separators are read."""
    spelt = path.strip().replace("\\", "/")
    return not spelt.startswith("/") and os.path.normpath(spelt).partition("/")[0] != ".."


def _named(path: str) -> str:
    """What a row names: a URI as it is, or a path without detours."""
    return path.strip() if "://" in path else os.path.normpath(path)


@dataclass
class _Rows:
    """The samples of the good rows, and what is wrong with the others, by kind of problem."""

    folder: Path
    elsewhere: Mapping[str, str]
    objects: Mapping[str, ObjectInfo]
    is_ours: bool = True
    samples: dict[str, Sample] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    repeated: int = 0
    lookup: Lookup = field(default_factory=Lookup)

    def take(self, where: str, cells: Mapping[str, Any]) -> None:
        """Judges one row."""
        path, label, split = (
            _text(cells.get("path")),
            _text(cells.get("label")).strip(),
            _text(cells.get("split")).strip(),
        )
        if _SURPLUS in cells:
            self.problems["rows of too many cells (quote paths that hold the delimiter)"].append(where)
        elif not path.strip():
            self.problems["rows with an empty path"].append(where)
        elif not label:
            self.problems["rows with an empty label"].append(f"{where}: {path!r}")
        elif isinstance(cells["label"], list | dict):
            self.problems["labels that are lists or objects (expected one class a row)"].append(f"{where}: {label}")
        elif split and not split_name(split):
            self.problems[f"rows of an unknown split (expected {', '.join(SPLITS)} or nothing)"].append(
                f"{where}: {split!r}"
            )
        elif place := self._elsewhere(_named(path)):
            key = _named(path).partition("://")[2] or _named(path)
            self._keep(where, Sample(key, place, label, split_name(split) if split else None))
        elif "://" in path:
            self.problems["paths that are URIs of no bucket (expected s3://bucket/key, or a path)"].append(
                f"{where}: {path!r}"
            )
        elif not self.is_ours and not _is_inside(path):
            self.problems["paths that lead out of the bucket's folder"].append(f"{where}: {path!r}")
        else:
            self._keep(where, self._sample(path, label, split_name(split) if split else None))

    def _sample(self, path: str, label: str, split: str | None) -> Sample:
        # as it is written, without blanks around it, or with the separators of Windows: whichever is there
        spellings = (path, path.strip(), path.strip().replace("\\", "/"))
        candidates = [os.path.normpath(self.folder / spelling) for spelling in spellings]
        full = next((found for name in candidates if (found := self.lookup.find(name))), candidates[-1])
        return Sample(Path(os.path.relpath(full, self.folder)).as_posix(), full, label, split)

    def _elsewhere(self, named: str) -> str | None:
        """Return where that is, in the Unicode form in which it is there; None for what lies in no bucket."""
        places = [self.elsewhere[form] for form in (named, *sorted(forms(named))) if form in self.elsewhere]
        there = (place for place in places if place in self.objects or Path(place).is_file())
        return next(there, places[0] if places else None)

    def _keep(self, where: str, sample: Sample) -> None:
        sample = replace(sample, key=nfc(sample.key), label=nfc(sample.label))
        known = self.samples.get(sample.key)
        if known is None:
            self.samples[sample.key], self.origin[sample.key] = sample, where
            if sample.path not in self.objects and not Path(sample.path).is_file():
                self.problems["paths at which there is no file"].append(f"{where}: {sample.key!r}")
        elif known == sample:
            self.repeated += 1
        else:
            before = f"{self.origin[sample.key]} says {known.label!r} {known.split or ''}".rstrip()
            here = f"{where} says {sample.label!r} {sample.split or ''}".rstrip()
            self.problems["paths with two labels or two splits"].append(f"{sample.key!r}: {before}, {here}")

    def check(self, uri: str) -> None:
        """Raises a DataError that lists every problem met."""
        parts = [f"{len(items)} {what}:\n{listed(items)}" for what, items in self.problems.items()]
        if parts:
            raise DataError(f"{uri}: mend the manifest, whose paths are relative to {self.folder}\n" + "\n".join(parts))


def _rows(table: Path) -> Iterator[Row]:
    try:
        return iter(list(READERS[table.suffix.lower()](table)))
    except OSError as exc:
        raise DataError(f"{table}: cannot be read ({exc.strerror or exc})") from exc


def _csv_rows(table: Path) -> Iterator[Row]:
    text = _decoded(table)
    header_line = text.lstrip("\n\r").split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = _columns(table, next((row for row in reader if any(row)), []))
        for row in reader:
            if any(cell.strip() for cell in row):
                cells = dict(zip(header, row, strict=False))
                yield f"line {reader.line_num}", cells if len(row) <= len(header) else {**cells, _SURPLUS: row}
    except csv.Error as exc:
        raise DataError(
            f'{table}: line {reader.line_num} is not CSV ({exc}); quote cells with " and double it inside'
        ) from exc


def _jsonl_rows(table: Path) -> Iterator[Row]:
    broken = []
    for number, line in enumerate(_decoded(table).split("\n"), start=1):
        if not line.strip():
            continue
        cells = _json_object(line)
        if cells is None:
            broken.append(f"line {number}: {line.strip()[:80]!r}")
        else:
            _columns(table, list(cells), f"line {number}")
            yield f"line {number}", {str(key).strip().lower(): value for key, value in cells.items()}
    if broken:
        raise DataError(f'{table}: expected one object a line, {{"path": ..., "label": ...}}; found\n{listed(broken)}')


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parquet_rows(table: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pq.read_table(table)
    except pa.ArrowException as exc:
        raise DataError(f"{table}: not a Parquet file ({exc})") from exc
    header = _columns(table, content.column_names)
    columns = [content.column(index).to_pylist() for index in range(len(header))]
    for number, cells in enumerate(zip(*columns, strict=True), start=1):
        yield f"row {number}", dict(zip(header, cells, strict=True))


def _columns(table: Path, found: list[str], where: str = "") -> list[str]:
    """The header in lower case.

    Raises:
        DataError: path or label is missing, or a column is there twice.
    """
    header = [name.strip().lower() for name in found]
    missing = [name for name in ("path", "label") if header.count(name) != 1]
    if missing or header.count("split") > 1:
        at = f"{table} {where}".rstrip()
        raise DataError(
            f"{at}: found the columns {', '.join(map(repr, found)) or '(none)'}; expected path, label and perhaps split, "
            f"each once: mend {' and '.join(missing) or 'split'}"
        )
    return header


def _decoded(table: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark, or of Excel's UTF-16."""
    data = table.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise DataError(f"{table}: line {line} is not {encoding[:5].upper()} text; save the table as UTF-8") from exc


def _text(value: Any) -> str:
    """A cell as text: 1.0 is the class 1 (tables with gaps hold whole numbers as floats), null and NaN are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
    ".jsonl": _jsonl_rows,
}
