"""Manifests: a CSV, Parquet or JSONL table of path, label and, if the data has its own, split."""

from __future__ import annotations

import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from raytl.data.formats.directory_listing import Folders, is_file
from raytl.data.formats.rows import Rows, parts_among, parts_in, read_rows
from raytl.data.gc_pause import gc_paused
from raytl.data.manifest import SPLITS, Manifest, Sample, build_manifest, listed, split_name, to_nfc
from raytl.data.unicode_names import Lookup, forms
from raytl.errors import DataError
from raytl.events import OnEvent, Work, ignore, throttled
from raytl.store.contract import ObjectInfo
from raytl.uris import S3, has_scheme, in_bucket, is_table_name

__all__ = ["Table", "is_table", "keys_in", "parts_among", "paths_in", "read", "scan", "uris_in"]

_SHOWN = 10
_NO_PATH = "rows with an empty path"
_OF_NO_BUCKET = "paths that are URIs of no bucket (expected s3://bucket/key, or a path)"
_NO_FILE = "paths at which there is no file"
_NO_LABEL = "rows without a label (empty, null or NaN)"
_NO_SPLIT = f"rows of an unknown split (expected {', '.join(SPLITS)} or nothing)"
_OUTSIDE = "paths that lead out of the bucket's folder"
_CONFLICT = "paths with two labels or two splits"
_TOLD_EVERY = 1 << 12
_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Table:
    """A table that was read: `place` is its file, or the folder of its parts."""

    place: Path
    rows: Rows

    @property
    def folder(self) -> Path:
        """The folder that paths in the table are relative to."""
        return self.place.parent


def is_table(place: Path) -> bool:
    """Return whether a table is at this place: a file of such an ending, or a folder of parts as Spark writes them."""
    return is_table_name(place) and (place.is_file() or bool(parts_in(place)))


@gc_paused()
def read(
    place: Path, parts: Sequence[str] | None = None, *, labelled: bool = True, on_event: OnEvent = ignore
) -> Table:
    """Return the table at `place`, each file of it read once; `parts` are those of a folder, by default all in it.

    Raises:
        DataError: a file cannot be read, is not of its format, or lacks a column: path and, if `labelled`, label.
    """
    return Table(place, read_rows(place, parts_in(place) if parts is None else parts, labelled, on_event))


@gc_paused()
def scan(
    table: Table,
    uri: str,
    elsewhere: Mapping[str, str] | None = None,
    objects: Mapping[str, ObjectInfo] | None = None,
    on_event: OnEvent = ignore,
) -> Manifest:
    """The manifest of the table's rows; paths are relative to its folder, or absolute, or one of `elsewhere`, which says
    where that is: a file on this node, or one of `objects`, by URI. A table from a bucket names no file of this machine
    but those that were pulled with it.

    Raises:
        DataError: missing files, empty labels, unknown splits, conflicting rows; all of them listed.
    """
    problems = _Problems()
    found = _Found(table.rows, table.folder, elsewhere or {}, objects or {}, problems, is_ours=not in_bucket(uri))
    found.take_all(on_event)
    problems.refuse(uri, table.folder)
    notes = [f"{uri}: {found.repeated} rows repeat another row and count once"] if found.repeated else []
    manifest = build_manifest(uri, found.samples, warnings=notes)
    if not objects:
        return manifest
    return replace(manifest, objects={s.path: objects[s.path] for s in manifest.samples if s.path in objects})


def paths_in(table: Table) -> list[str]:
    """Return what each row names, in order: the path of a file, which may be missing, or an s3:// URI.

    Raises:
        DataError: rows name no file; all of them listed.
    """
    problems, paths, lookup = _Problems(), [], Lookup()
    for index, path in enumerate(table.rows.paths):
        if fault := table.rows.faults.get(index) or _path_fault(path):
            problems.note(fault, partial(_line, table.rows, index, path))
        else:
            paths.append(path.strip() if in_bucket(path.strip()) else _file(table.folder, path, lookup))
    problems.refuse(str(table.place), table.folder)
    return paths


def keys_in(table: Table) -> list[str]:
    """The relative paths that the table names inside its own folder, each once, and in each spelling that it may have."""
    named = {spelling for path in table.rows.paths if not has_scheme(path) for spelling in _spellings(path)}
    inside = {form for path in named if path and not path.startswith("/") for form in forms(_named(path))}
    return sorted(key for key in inside if key != ".." and not key.startswith("../"))


def uris_in(table: Table) -> list[str]:
    """The s3:// URIs that the table names, each once in each Unicode form."""
    named = (path.strip() for path in table.rows.paths if S3 in path)
    return sorted({form for path in named if in_bucket(path) for form in forms(path)})


def _path_fault(path: str) -> str:
    """What is wrong with a path before anybody looks for it, or nothing."""
    if not path.strip():
        return _NO_PATH
    return _OF_NO_BUCKET if has_scheme(path) and not in_bucket(path.strip()) else ""


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


class _Problems:
    """What is wrong with rows, counted by kind; the first few of each are kept to be shown."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lines: dict[str, list[str]] = defaultdict(list)

    def note(self, kind: str, line: Callable[[], str]) -> None:
        """Count one more; `line` is what is shown of it."""
        self._counts[kind] += 1
        if self._counts[kind] <= _SHOWN:
            self._lines[kind].append(line())

    def refuse(self, said: str, folder: Path) -> None:
        """Raise a DataError that lists the problems, if there are any."""
        parts = [f"{count} {kind}:\n{listed(self._lines[kind], _SHOWN, count)}" for kind, count in self._counts.items()]
        if parts:
            raise DataError(f"{said}: mend the manifest, whose paths are relative to {folder}\n" + "\n".join(parts))


class _Splits(dict[str, str | None]):
    """The split that each word of a table means; empty for a word that means none, None where there is no word."""

    def __missing__(self, word: str) -> str | None:
        split = self[word] = (split_name(word) or "") if word else None
        return split


def _line(rows: Rows, index: int, cell: str) -> str:
    """Return the line that tells of a cell of a row."""
    shown = cell if len(cell) <= _SHOWN_CHARS else f"{cell[:_SHOWN_CHARS]} ..."
    return f"{rows.where(index)}: {shown!r}"


def _is_inside(path: str) -> bool:
    """True for a path below the table's folder, however its separators are read."""
    spelt = path.strip().replace("\\", "/")
    return not spelt.startswith("/") and os.path.normpath(spelt).partition("/")[0] != ".."


def _named(path: str) -> str:
    """What a row names: a URI as it is, or a path without detours."""
    return path.strip() if has_scheme(path) else os.path.normpath(path)


@dataclass
class _Found:
    """The samples of the good rows, and what is wrong with the others, by kind of problem."""

    rows: Rows
    folder: Path
    elsewhere: Mapping[str, str]
    objects: Mapping[str, ObjectInfo]
    problems: _Problems
    is_ours: bool = True
    samples: list[Sample] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """Where in `samples` each key is."""
    origins: array[int] = field(default_factory=lambda: array("q"))
    """The index of the row that each sample comes from."""
    repeated: int = 0
    lookup: Lookup = field(default_factory=Lookup)

    def take_all(self, on_event: OnEvent) -> None:
        """Judge every row."""
        folders, splits, tell, total = Folders(self.folder), _Splits(), throttled(on_event), len(self.rows)
        columns = zip(self.rows.paths, self.rows.labels, self.rows.splits, strict=True)
        for index, (path, label, word) in enumerate(columns):
            split = splits[word]
            if index in self.rows.faults or not label or split == "" or not path or path.isspace():
                self._refuse(index, path, label, word)
            elif path in self.places and self._repeats(path, label, split):
                self.repeated += 1
            elif self.elsewhere and (sample := self._elsewhere(path, label, split)):
                self._keep(index, sample, sample.path in self.objects or is_file(sample.path))
            elif has_scheme(path):
                self.problems.note(_OF_NO_BUCKET, partial(_line, self.rows, index, path))
            elif not self.is_ours and not _is_inside(path):
                self.problems.note(_OUTSIDE, partial(_line, self.rows, index, path))
            else:
                self._keep(index, *self._here(folders, path, label, split))
            if not index % _TOLD_EVERY:
                tell(Work("finding the files of the table", index, total, "rows"))
        tell(Work("finding the files of the table", total, total, "rows"))

    def _refuse(self, index: int, path: str, label: str, word: str) -> None:
        """Note what is wrong with the cells of a row."""
        if fault := self.rows.faults.get(index):
            self.problems.note(fault, partial(_line, self.rows, index, path))
        elif not path.strip():
            self.problems.note(_NO_PATH, partial(self.rows.where, index))
        elif not label:
            self.problems.note(_NO_LABEL, partial(_line, self.rows, index, path))
        else:
            self.problems.note(_NO_SPLIT, partial(_line, self.rows, index, word))

    def _repeats(self, path: str, label: str, split: str | None) -> bool:
        """Return whether a row with the path of a sample says what that one's row said, with the same letters."""
        known = self.samples[self.places[path]]
        return not self.elsewhere and path.isascii() and known.label == label and known.split == split

    def _elsewhere(self, path: str, label: str, split: str | None) -> Sample | None:
        """The sample where the row names a place of `elsewhere`."""
        for spelling in _spellings(path) if self.elsewhere else ():
            named = _named(spelling)
            if place := self._place(named):
                return Sample(named.partition("://")[2] or named, place, label, split)
        return None

    def _here(self, folders: Folders, path: str, label: str, split: str | None) -> tuple[Sample, bool]:
        """The sample of a file on this machine, and whether it is there: as it is spelt, or else in another form."""
        above, slash, name = path.rpartition("/")
        if name not in ("", ".", ".."):
            folder = folders[above or slash]
            is_there = folder.holds(name)
            if is_there or (path.isascii() and len(_spellings(path)) == 1):
                key = folder.prefix + name
                return Sample(path if key == path else key, f"{folder.path}/{name}", label, split), is_there
        full = _file(self.folder, path, self.lookup)
        key = Path(os.path.relpath(full, self.folder)).as_posix()
        return Sample(key, full, label, split), is_file(full)

    def _place(self, named: str) -> str | None:
        """Return where that is, in the Unicode form in which it is there; None for what lies in no bucket."""
        places = [self.elsewhere[form] for form in (named, *sorted(forms(named))) if form in self.elsewhere]
        there = (place for place in places if place in self.objects or Path(place).is_file())
        return next(there, places[0] if places else None)

    def _keep(self, index: int, sample: Sample, is_there: bool) -> None:
        if not (sample.key.isascii() and sample.label.isascii()):
            sample = to_nfc(sample)
        place = self.places.setdefault(sample.key, len(self.samples))
        if place == len(self.samples):
            self.samples.append(sample)
            self.origins.append(index)
            if not is_there:
                self.problems.note(_NO_FILE, partial(self._missing, index, sample))
        elif (known := self.samples[place]) == sample:
            self.repeated += 1
        else:
            self.problems.note(_CONFLICT, partial(self._conflict, self.origins[place], known, index, sample))

    def _conflict(self, first: int, known: Sample, index: int, sample: Sample) -> str:
        before = f"{self.rows.where(first)} says {known.label!r} {known.split or ''}".rstrip()
        here = f"{self.rows.where(index)} says {sample.label!r} {sample.split or ''}".rstrip()
        return f"{sample.key!r}: {before}, {here}"

    def _missing(self, index: int, sample: Sample) -> str:
        """Return the line that tells of a missing file, and of one that is there by a name in other capitals."""
        near = "" if in_bucket(sample.path) else _in_other_capitals(sample.path)
        hint = f" (there is {Path(os.path.relpath(near, self.folder)).as_posix()!r})" if near else ""
        return f"{self.rows.where(index)}: {sample.key!r}{hint}"
