"""Manifests: a CSV, Parquet or JSONL table of path, label and, if the data has its own, split."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from raytl.data.formats.rows import Row, is_table_name, parts_among, parts_in, read_rows
from raytl.data.manifest import SPLITS, Manifest, Sample, listed, manifest_of, split_name
from raytl.data.names import Lookup, forms, nfc
from raytl.errors import DataError
from raytl.store.contract import ObjectInfo
from raytl.store.open import in_bucket

__all__ = ["Table", "is_table", "is_table_name", "keys_in", "parts_among", "paths_in", "read", "scan", "uris_in"]

_SHOWN = 10
_NO_PATH = "rows with an empty path"
_OF_NO_BUCKET = "paths that are URIs of no bucket (expected s3://bucket/key, or a path)"
_NO_FILE = "paths at which there is no file"


@dataclass(frozen=True)
class Table:
    """A table that was read: `place` is its file, or the folder of its parts."""

    place: Path
    rows: Sequence[Row]

    @property
    def folder(self) -> Path:
        """The folder that paths in the table are relative to."""
        return self.place.parent


def is_table(place: Path) -> bool:
    """Return whether a table is at this place: a file of such an ending, or a folder of parts as Spark writes them."""
    return is_table_name(place) and (place.is_file() or bool(parts_in(place)))


def read(place: Path, parts: Sequence[str] | None = None, *, labelled: bool = True) -> Table:
    """Return the table at `place`, each file of it read once; `parts` are those of a folder, by default all in it.

    Raises:
        DataError: a file cannot be read, is not of its format, or lacks a column: path and, if `labelled`, label.
    """
    return Table(place, read_rows(place, parts_in(place) if parts is None else parts, labelled))


def scan(
    table: Table,
    uri: str,
    elsewhere: Mapping[str, str] | None = None,
    objects: Mapping[str, ObjectInfo] | None = None,
) -> Manifest:
    """The manifest of the table's rows; paths are relative to its folder, or absolute, or one of `elsewhere`, which says
    where that is: a file on this node, or one of `objects`, by URI. A table from a bucket names no file of this machine
    but those that were pulled with it.

    Raises:
        DataError: missing files, empty labels, unknown splits, conflicting rows; all of them listed.
    """
    rows = _Rows(table.folder, elsewhere or {}, objects or {}, is_ours=not in_bucket(uri))
    for row in table.rows:
        rows.take(row)
    rows.check(uri)
    notes = [f"{uri}: {rows.repeated} rows repeat another row and count once"] if rows.repeated else []
    manifest = manifest_of(uri, rows.samples.values(), warnings=notes)
    return replace(
        manifest, objects={s.path: objects[s.path] for s in manifest.samples if objects and s.path in objects}
    )


def paths_in(table: Table) -> list[str]:
    """Return what each row names, in order: the path of a file, which may be missing, or an s3:// URI.

    Raises:
        DataError: rows name no file; all of them listed.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    paths, lookup = [], Lookup()
    for row in table.rows:
        if fault := row.fault or _path_fault(row.path):
            problems[fault].append(f"{row.where}: {row.path!r}")
        else:
            paths.append(row.path.strip() if in_bucket(row.path.strip()) else _file(table.folder, row.path, lookup))
    _refuse(problems, str(table.place), table.folder)
    return paths


def keys_in(table: Table) -> list[str]:
    """The relative paths that the table names inside its own folder, each once, and in each spelling that it may have."""
    named = {spelling for row in table.rows if "://" not in row.path for spelling in _spellings(row.path)}
    inside = {form for path in named if path and not path.startswith("/") for form in forms(_named(path))}
    return sorted(key for key in inside if key != ".." and not key.startswith("../"))


def uris_in(table: Table) -> list[str]:
    """The s3:// URIs that the table names, each once in each Unicode form."""
    named = (row.path.strip() for row in table.rows)
    return sorted({form for path in named if path.startswith("s3://") for form in forms(path)})


def _path_fault(path: str) -> str:
    """What is wrong with a path before anybody looks for it, or nothing."""
    if not path.strip():
        return _NO_PATH
    return _OF_NO_BUCKET if "://" in path and not in_bucket(path.strip()) else ""


def _spellings(path: str) -> tuple[str, ...]:
    """The path as it is written, without blanks around it, and with the separators of Windows as slashes."""
    return (
        (path,) if path == path.strip() and "\\" not in path else (path, path.strip(), path.strip().replace("\\", "/"))
    )


def _file(folder: Path, path: str, lookup: Lookup) -> str:
    """The file that a row names, by the first spelling that is there, in the Unicode form in which it is there."""
    candidates = [os.path.normpath(folder / spelling) for spelling in _spellings(path)]
    return next((found for name in candidates if (found := lookup.find(name))), candidates[-1])


def _in_other_capitals(path: str) -> str:
    """The file whose path differs from this one in capitals only, or nothing."""
    parent, name = os.path.split(path)
    if not name:
        return ""
    folder = parent if os.path.isdir(parent) else _in_other_capitals(parent)  # noqa: PTH112 - False for names too long
    try:
        inside = sorted(each.name for each in os.scandir(folder)) if folder else []
    except OSError:  # no right to look is no file to suggest
        return ""
    near = next((each for each in inside if each.casefold() == name.casefold()), "")
    return f"{folder}/{near}" if near else ""


def _refuse(problems: Mapping[str, Sequence[str]], said: str, folder: Path) -> None:
    """Raise a DataError that lists the problems, if there are any."""
    parts = [f"{len(items)} {what}:\n{listed(items, _SHOWN)}" for what, items in problems.items()]
    if parts:
        raise DataError(f"{said}: mend the manifest, whose paths are relative to {folder}\n" + "\n".join(parts))


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

    def take(self, row: Row) -> None:
        """Judge one row."""
        split = split_name(row.split) if row.split else None
        if row.fault:
            self.problems[row.fault].append(f"{row.where}: {row.path!r}")
        elif not row.path.strip():
            self.problems[_NO_PATH].append(row.where)
        elif not row.label:
            self.problems["rows without a label (empty, null or NaN)"].append(f"{row.where}: {row.path!r}")
        elif row.split and not split:
            self.problems[f"rows of an unknown split (expected {', '.join(SPLITS)} or nothing)"].append(
                f"{row.where}: {row.split!r}"
            )
        elif sample := self._elsewhere(row.path, row.label, split):
            self._keep(row.where, sample)
        elif "://" in row.path:
            self.problems[_OF_NO_BUCKET].append(f"{row.where}: {row.path!r}")
        elif not self.is_ours and not _is_inside(row.path):
            self.problems["paths that lead out of the bucket's folder"].append(f"{row.where}: {row.path!r}")
        else:
            self._keep(row.where, self._here(row.path, row.label, split))

    def _elsewhere(self, path: str, label: str, split: str | None) -> Sample | None:
        """The sample where the row names a place of `elsewhere`."""
        for spelling in _spellings(path) if self.elsewhere else ():
            named = _named(spelling)
            if place := self._place(named):
                return Sample(named.partition("://")[2] or named, place, label, split)
        return None

    def _here(self, path: str, label: str, split: str | None) -> Sample:
        full = _file(self.folder, path, self.lookup)
        return Sample(Path(os.path.relpath(full, self.folder)).as_posix(), full, label, split)

    def _place(self, named: str) -> str | None:
        """Return where that is, in the Unicode form in which it is there; None for what lies in no bucket."""
        places = [self.elsewhere[form] for form in (named, *sorted(forms(named))) if form in self.elsewhere]
        there = (place for place in places if place in self.objects or Path(place).is_file())
        return next(there, places[0] if places else None)

    def _keep(self, where: str, sample: Sample) -> None:
        sample = replace(sample, key=nfc(sample.key), label=nfc(sample.label))
        known = self.samples.get(sample.key)
        if known is None:
            self.samples[sample.key], self.origin[sample.key] = sample, where
            if sample.path not in self.objects and not os.path.isfile(sample.path):  # noqa: PTH113 - False for names too long
                self._miss(where, sample)
        elif known == sample:
            self.repeated += 1
        else:
            before = f"{self.origin[sample.key]} says {known.label!r} {known.split or ''}".rstrip()
            here = f"{where} says {sample.label!r} {sample.split or ''}".rstrip()
            self.problems["paths with two labels or two splits"].append(f"{sample.key!r}: {before}, {here}")

    def _miss(self, where: str, sample: Sample) -> None:
        """Note that there is no file; of the first few, whether one is there by a name in other capitals."""
        missing = self.problems[_NO_FILE]
        near = "" if len(missing) >= _SHOWN or in_bucket(sample.path) else _in_other_capitals(sample.path)
        hint = f" (there is {Path(os.path.relpath(near, self.folder)).as_posix()!r})" if near else ""
        missing.append(f"{where}: {sample.key!r}{hint}")

    def check(self, uri: str) -> None:
        """Raise a DataError that lists every problem met."""
        _refuse(self.problems, uri, self.folder)
