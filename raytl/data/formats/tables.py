"""Read manifests: CSV, Parquet or JSONL tables of path, label and optionally split."""

from __future__ import annotations

import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path

from raytl.data.formats.directory_listing import Folders, is_file
from raytl.data.formats.rows import Rows, parts_among, parts_in, read_rows
from raytl.data.manifest import SPLITS, Manifest, Sample, build_manifest, listed, split_name
from raytl.data.sample_table import SampleTable, TableWriter
from raytl.data.unicode_names import Lookup, nfc, unicode_forms
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.gc_pause import gc_paused
from raytl.store.contract import ObjectInfo
from raytl.uris import S3, has_scheme, in_bucket, is_table_name

__all__ = [
    "Table",
    "is_inside",
    "is_table",
    "keys_in",
    "may_name_objects",
    "parts_among",
    "paths_in",
    "read",
    "resolved",
    "scan",
    "uris_in",
]

_MAX_LISTED = 10
_NO_PATH = "rows with an empty path"
_WRONG_SCHEME = "paths with an unsupported scheme (expected s3://bucket/key, or a path)"
_NO_FILE = "paths without a file"
_NO_LABEL = "rows without a label (empty, null or NaN)"
_NO_SPLIT = f"rows with an unknown split (expected {', '.join(SPLITS)} or empty)"
_OUTSIDE = "paths outside the folder of the manifest in the bucket"
_CONFLICT = "paths with conflicting labels or splits"
_REPORT_EVERY = 1 << 12
_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Table:
    """A table in memory: `place` is its file or the folder of its parts."""

    place: Path
    rows: Rows

    @property
    def folder(self) -> Path:
        """Return the folder that paths in the table are relative to."""
        return self.place.parent


def is_table(place: Path) -> bool:
    """Return whether there is a table: a file with such an ending, or a folder of parts as written by Spark."""
    return is_table_name(place) and (place.is_file() or bool(parts_in(place)))


@gc_paused()
def read(place: Path, parts: Sequence[str] | None = None, *, labeled: bool = True, on_event: OnEvent = ignore) -> Table:
    """Return the table at `place`, reading each file once; `parts` are the files of a folder, by default all of them.

    Raises:
        DataError: a file cannot be read, is not in its format, or lacks a column: path and, if `labeled`, label.
    """
    return Table(place, read_rows(place, parts_in(place) if parts is None else parts, labeled, on_event))


@gc_paused()
def scan(
    table: Table,
    uri: str,
    elsewhere: Mapping[str, str] | None = None,
    objects: Mapping[str, ObjectInfo] | None = None,
    on_event: OnEvent = ignore,
) -> Manifest:
    """Return the manifest of the rows; paths are relative to the table's folder, absolute, or keys of `elsewhere`, which maps
    them to a file on this node or the URI of one of `objects`. A table from a bucket may only reference files that were
    pulled with it.

    Raises:
        DataError: missing files, empty labels, unknown splits or conflicting rows; all are listed.
    """
    samples, repeated = resolved(table, uri, elsewhere, objects, on_event)
    warnings = [f"{uri}: {repeated} rows repeat another row and count once"] if repeated else []
    manifest = build_manifest(uri, samples, warnings=warnings)
    if not objects:
        return manifest
    return replace(manifest, objects={path: objects[path] for path in manifest.samples.paths if path in objects})


def resolved(
    table: Table,
    uri: str,
    elsewhere: Mapping[str, str] | None = None,
    objects: Mapping[str, ObjectInfo] | None = None,
    on_event: OnEvent = ignore,
) -> tuple[SampleTable, int]:
    """Return the samples of the rows, in their order, and the number of rows that repeat another one; see `scan`.

    Raises:
        DataError: as `scan`.
    """
    problems = _Problems()
    collected = _Collected(
        table.rows, table.folder, elsewhere or {}, objects or {}, problems, is_local=not in_bucket(uri)
    )
    collected.add_all(on_event)
    problems.check(uri, table.folder)
    return collected.samples.table(), collected.repeated


def paths_in(table: Table) -> list[str]:
    """Return the path or s3:// URI in each row, in order; files may be missing.

    Raises:
        DataError: rows without a valid path; all are listed.
    """
    problems, paths, lookup = _Problems(), [], Lookup()
    for index, path in enumerate(table.rows.paths):
        if fault := table.rows.faults.get(index) or _path_fault(path):
            problems.add(fault, partial(_line, table.rows, index, path))
        else:
            paths.append(path.strip() if in_bucket(path.strip()) else _file(table.folder, path, lookup))
    problems.check(str(table.place), table.folder)
    return paths


def keys_in(table: Table) -> list[str]:
    """Return the relative paths inside the table's own folder, each once, in every possible spelling."""
    named = {spelling for path in table.rows.paths if not has_scheme(path) for spelling in _spellings(path)}
    inside = {form for path in named if path and not path.startswith("/") for form in unicode_forms(_normalized(path))}
    return sorted(key for key in inside if key != ".." and not key.startswith("../"))


def uris_in(table: Table) -> list[str]:
    """Return the s3:// URIs in the table, each once per Unicode form."""
    named = (path.strip() for path in table.rows.paths if S3 in path)
    return sorted({form for path in named if in_bucket(path) for form in unicode_forms(path)})


def may_name_objects(place: Path) -> bool:
    """Return whether a table can contain an s3:// URI; of a CSV file, that is whether its bytes do, in UTF-8 or UTF-16.

    A file that cannot be read can: `read` reports it.
    """
    try:
        if place.suffix.lower() not in (".csv", ".tsv") or not place.is_file():
            return True
        with place.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return any(content.find(S3.encode(encoding)) >= 0 for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
    except (OSError, ValueError):  # also an empty file
        return True


def _path_fault(path: str) -> str:
    """Return the problem with a path as text; empty if there is none."""
    if not path.strip():
        return _NO_PATH
    return _WRONG_SCHEME if has_scheme(path) and not in_bucket(path.strip()) else ""


def _spellings(path: str) -> tuple[str, ...]:
    """Return the path as written, without surrounding whitespace, and with backslashes as slashes."""
    return (
        (path,) if path == path.strip() and "\\" not in path else (path, path.strip(), path.strip().replace("\\", "/"))
    )


def _file(folder: Path, path: str, lookup: Lookup) -> str:
    """Return the file of a row, by the first spelling that exists, in its stored Unicode form."""
    candidates = [os.path.normpath(folder / spelling) for spelling in _spellings(path)]
    return next((file for name in candidates if (file := lookup.find(name))), candidates[-1])


def _in_other_case(path: str) -> str:
    """Return the file whose path differs only in case, or an empty string."""
    parent, name = os.path.split(path)
    if not name:
        return ""
    folder = parent if os.path.isdir(parent) else _in_other_case(parent)  # noqa: PTH112 - returns False for long names
    try:
        inside = sorted(each.name for each in os.scandir(folder)) if folder else []
    except OSError:  # without permission there is nothing to suggest
        return ""
    near = next((each for each in inside if each.casefold() == name.casefold()), "")
    return f"{folder}/{near}" if near else ""


class _Problems:
    """Problems with rows, counted by kind, with the first few of each for the error message."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lines: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, line: Callable[[], str]) -> None:
        """Count a problem; `line` describes it."""
        self._counts[kind] += 1
        if self._counts[kind] <= _MAX_LISTED:
            self._lines[kind].append(line())

    def check(self, where: str, folder: Path) -> None:
        """Raise a DataError that lists all problems, if there are any."""
        parts = [
            f"{count} {kind}:\n{listed(self._lines[kind], _MAX_LISTED, count)}" for kind, count in self._counts.items()
        ]
        if parts:
            raise DataError(f"{where}: fix the manifest; its paths are relative to {folder}\n" + "\n".join(parts))


class _Splits(dict[str, str | None]):
    """The split for each value of the split column; an empty string for an unknown value, None for an empty cell."""

    def __missing__(self, word: str) -> str | None:
        split = self[word] = (split_name(word) or "") if word else None
        return split


def _line(rows: Rows, index: int, cell: str) -> str:
    """Return the description of a cell for an error."""
    text = cell if len(cell) <= _SHOWN_CHARS else f"{cell[:_SHOWN_CHARS]} ..."
    return f"{rows.where(index)}: {text!r}"


def is_inside(path: str) -> bool:
    """Return whether a path is below the table's folder, whichever way its separators are read."""
    normalized = path.strip().replace("\\", "/")
    return not normalized.startswith("/") and os.path.normpath(normalized).partition("/")[0] != ".."


def _normalized(path: str) -> str:
    """Return a URI unchanged, or a normalized path."""
    return path.strip() if has_scheme(path) else os.path.normpath(path)


@dataclass
class _Collected:
    """The samples of valid rows, and the problems with the others by kind."""

    rows: Rows
    folder: Path
    elsewhere: Mapping[str, str]
    objects: Mapping[str, ObjectInfo]
    problems: _Problems
    is_local: bool = True
    samples: TableWriter = field(default_factory=TableWriter)
    places: dict[str, int] = field(default_factory=dict)
    """The index of each key in `samples`."""
    origins: array[int] = field(default_factory=lambda: array("q"))
    """The row index of each sample."""
    repeated: int = 0
    lookup: Lookup = field(default_factory=Lookup)

    def add_all(self, on_event: OnEvent) -> None:
        """Add every row as a sample or a problem."""
        folders, splits, report, total = Folders(self.folder), _Splits(), throttled(on_event), len(self.rows)
        columns = zip(self.rows.paths, self.rows.labels, self.rows.splits, strict=True)
        for index, (path, label, word) in enumerate(columns):
            split = splits[word]
            if index in self.rows.faults or not label or split == "" or not path or path.isspace():
                self._reject(index, path, label, word)
            elif path in self.places and self._repeats(path, label, split):
                self.repeated += 1
            elif self.elsewhere and (location := self._elsewhere(path)):
                self._add(index, (*location, label, split), location[1] in self.objects or is_file(location[1]))
            elif has_scheme(path):
                self.problems.add(_WRONG_SCHEME, partial(_line, self.rows, index, path))
            elif not self.is_local and not is_inside(path):
                self.problems.add(_OUTSIDE, partial(_line, self.rows, index, path))
            else:
                key, full, is_there = self._here(folders, path)
                self._add(index, (key, full, label, split), is_there)
            if not index % _REPORT_EVERY:
                report(Work("finding the files of the table", index, total, "rows"))
        report(Work("finding the files of the table", total, total, "rows"))

    def _reject(self, index: int, path: str, label: str, word: str) -> None:
        """Record the problem with the cells of a row."""
        if fault := self.rows.faults.get(index):
            self.problems.add(fault, partial(_line, self.rows, index, path))
        elif not path.strip():
            self.problems.add(_NO_PATH, partial(self.rows.where, index))
        elif not label:
            self.problems.add(_NO_LABEL, partial(_line, self.rows, index, path))
        else:
            self.problems.add(_NO_SPLIT, partial(_line, self.rows, index, word))

    def _repeats(self, path: str, label: str, split: str | None) -> bool:
        """Return whether a row with the path of an earlier sample has the same label and split."""
        if self.elsewhere or not path.isascii():
            return False
        earlier = self.samples[self.places[path]]
        return earlier.label == label and earlier.split == split

    def _elsewhere(self, path: str) -> tuple[str, str] | None:
        """Return the sample's key and path if the row references a key of `elsewhere`."""
        for spelling in _spellings(path) if self.elsewhere else ():
            named = _normalized(spelling)
            if place := self._place(named):
                return named.partition("://")[2] or named, place
        return None

    def _here(self, folders: Folders, path: str) -> tuple[str, str, bool]:
        """Return key and path of a file on this machine, and whether the file exists, as spelled or in another form."""
        above, slash, name = path.rpartition("/")
        if name not in ("", ".", ".."):
            folder = folders[above or slash]
            is_there = folder.holds(name)
            if is_there or (path.isascii() and len(_spellings(path)) == 1):
                key = folder.prefix + name
                return path if key == path else key, f"{folder.path}/{name}", is_there
        full = _file(self.folder, path, self.lookup)
        key = Path(os.path.relpath(full, self.folder)).as_posix()
        return key, full, is_file(full)

    def _place(self, named: str) -> str | None:
        """Return the location for a key of `elsewhere`, in the Unicode form that exists; None for other names."""
        places = [self.elsewhere[form] for form in (named, *sorted(unicode_forms(named))) if form in self.elsewhere]
        there = (place for place in places if place in self.objects or Path(place).is_file())
        return next(there, places[0] if places else None)

    def _add(self, index: int, row: tuple[str, str, str, str | None], is_there: bool) -> None:
        """Add the sample with this key, path, label and split."""
        if not (row[0].isascii() and row[2].isascii()):
            key, path, label, split = row
            row = nfc(key), path, nfc(label), split
        place = self.places.setdefault(row[0], count := len(self.origins))
        if place == count:
            self.samples.add_row(*row)
            self.origins.append(index)
            if not is_there:
                self.problems.add(_NO_FILE, partial(self._missing, index, Sample(*row)))
        elif (earlier := self.samples[place]) == (sample := Sample(*row)):
            self.repeated += 1
        else:
            self.problems.add(_CONFLICT, partial(self._conflict, self.origins[place], earlier, index, sample))

    def _conflict(self, first: int, earlier: Sample, index: int, sample: Sample) -> str:
        before = f"{self.rows.where(first)} has {earlier.label!r} {earlier.split or ''}".rstrip()
        here = f"{self.rows.where(index)} has {sample.label!r} {sample.split or ''}".rstrip()
        return f"{sample.key!r}: {before}, {here}"

    def _missing(self, index: int, sample: Sample) -> str:
        """Return the description of a missing file, with a suggestion if the name exists in another case."""
        near = "" if in_bucket(sample.path) else _in_other_case(sample.path)
        hint = f" (there is {Path(os.path.relpath(near, self.folder)).as_posix()!r})" if near else ""
        return f"{self.rows.where(index)}: {sample.key!r}{hint}"
