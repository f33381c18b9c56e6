"""Cache the findings of audits, so that the next audit of unchanged files needs one `stat` each and no reading."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import compress, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raytl.data import dicom, heif
from raytl.data.bit_depth import RGB, Levels
from raytl.data.sample import Sample
from raytl.data.sample_table import SampleTable
from raytl.errors import DataError
from raytl.gc_pause import gc_paused
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectInfo
from raytl.store.files import atomic_write
from raytl.stored import Fault, Format
from raytl.stored.document import parse_text

_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of reading a file or object: its SHA-256, the reason if it is not an image (else empty), and its `levels`."""

    size: int
    mtime_ns: int
    ctime_ns: int
    digest: str
    reason: str
    etag: str = ""
    top: int = 0
    declared: int = 0
    low: float = 0.0
    high: float = 0.0

    @property
    def levels(self) -> Levels:
        """Return the values that determine its bit depth."""
        return Levels(self.top, self.declared, self.low, self.high)

    def is_current(self, now: os.stat_result | ObjectInfo) -> bool:
        """Return whether the file or object is unchanged since it was read."""
        if isinstance(now, ObjectInfo):
            return (self.size, self.etag) == (now.size, now.etag)
        status = (now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        return (self.size, self.mtime_ns, self.ctime_ns) == status


_ROWS = 1 << 12
"""Rows of a line, whose columns are texts, or numbers as the hexadecimal digits of their bytes."""
_HEX = 64
_ADVICE = "Delete the file; the images are read again."
INVALIDATED_FORMAT = Format[str](str, "the path of a file to read again", _ADVICE, DataError, max_bytes=1 << 17)


class Findings(Mapping[str, Finding]):
    """The findings of a table's files, by row in arrays: a million of them take 80 MB, as objects 300 MB.

    `is_read` says which rows have one. As a mapping, it has the findings of these rows by path.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.table = SampleTable.of(samples)
        rows = len(self.table)
        self.is_read = np.zeros(rows, np.bool_)
        self.numbers = np.zeros((rows, 3), np.int64)
        """Size, and the times of the last changes of content and status in nanoseconds."""
        self.digests = np.zeros((rows, _HEX // 2), np.uint8)
        self.levels = np.zeros((rows, 2), np.uint16)
        self.floats = np.zeros((rows, 2), np.float64)
        """The smallest and the largest value of files of floats."""
        self.reasons, self.etags = np.full(rows, "", object), np.full(rows, "", object)

    def put(self, row: int, finding: Finding) -> None:
        """Set the finding of a row."""
        self.is_read[row] = True
        self.numbers[row] = finding.size, finding.mtime_ns, finding.ctime_ns
        self.digests[row] = np.frombuffer(bytes.fromhex(finding.digest) or bytes(_HEX // 2), np.uint8)
        self.levels[row] = finding.top, finding.declared
        self.floats[row] = finding.low, finding.high
        self.reasons[row], self.etags[row] = finding.reason, finding.etag

    def row(self, row: int) -> Finding:
        """Return the finding of a known row."""
        assert self.is_read[row], f"row {row} has no finding"
        digest = self.digests[row].tobytes().hex() if self.digests[row].any() else ""
        (size, mtime_ns, ctime_ns), (top, declared) = self.numbers[row].tolist(), self.levels[row].tolist()
        low, high = self.floats[row].tolist()
        return Finding(size, mtime_ns, ctime_ns, digest, self.reasons[row], self.etags[row], top, declared, low, high)

    def __getitem__(self, path: str) -> Finding:
        return self.row(self._rows[path])

    def __iter__(self) -> Iterator[str]:
        return compress(self.table.paths, self.is_read.tolist())

    def __len__(self) -> int:
        return int(self.is_read.sum())

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self.table.paths) if self.is_read[row]}


@gc_paused()
def load_findings(samples: Sequence[Sample], max_pixels: int, channels: int = RGB) -> Findings:
    """Return cached findings of the samples, read as so many channels; some may be outdated, so check `is_current`."""
    findings = Findings(samples)
    try:
        with _file_of(findings.table).open(encoding="utf-8") as file:
            if parse_text(file.readline()) == _fingerprint(max_pixels, channels):
                _fill(findings, map(_read, file))
    except (OSError, ValueError, OverflowError, Fault):
        return Findings(findings.table)
    if invalidated := _invalidated():
        findings.is_read &= [path not in invalidated for path in findings.table.paths]
    return findings


class _Columns(NamedTuple):
    """The findings of a line: `numbers (n, 3)`, `digests (n, 32)`, `levels` and `floats (n, 2)` as in `Findings`."""

    paths: list[str]
    numbers: NDArray[np.int64]
    digests: NDArray[np.uint8]
    levels: NDArray[np.uint16]
    floats: NDArray[np.float64]
    reasons: list[str]
    etags: list[str]


def _fill(findings: Findings, lines: Iterator[_Columns]) -> None:
    """Set the findings of the lines whose paths are in the table.

    While both have the same order, which they have if nothing changed, no index of the paths is built.
    """
    paths, start = iter(findings.table.paths), 0
    index: dict[str, int] | None = None
    for columns in lines:
        count = len(columns.paths)
        if index is None and list(islice(paths, count)) == columns.paths:
            places = np.arange(start, start := start + count)
        else:
            index = index or {path: row for row, path in enumerate(findings.table.paths)}
            places = np.array([index.get(path, -1) for path in columns.paths], np.int64)
        _put_all(findings, places, columns)


def _put_all(findings: Findings, places: NDArray[np.int64], columns: _Columns) -> None:
    is_ours = places >= 0
    rows = places[is_ours]
    findings.is_read[rows] = True
    findings.numbers[rows] = columns.numbers[is_ours]
    findings.digests[rows] = columns.digests[is_ours]
    findings.levels[rows] = columns.levels[is_ours]
    findings.floats[rows] = columns.floats[is_ours]
    for column, values in ((findings.reasons, columns.reasons), (findings.etags, columns.etags)):
        if values:
            column[rows] = np.array(values, object)[is_ours]


def _read(line: str) -> _Columns:
    """Return the columns of a line, checked by hand, as a schema takes four times as long.

    Raises:
        Fault: it is not JSON.
        ValueError: it has no findings.
    """
    columns = parse_text(line)
    if type(columns) is not list or len(columns) != len(_Columns._fields):
        raise ValueError("no columns of findings")
    paths, numbers, digests, levels, floats, reasons, etags = columns
    count = len(_texts(paths))
    if not count or any(len(_texts(texts)) not in (0, count) for texts in (reasons, etags)):
        raise ValueError("columns of other lengths")
    arrays = _array(numbers, "<i8", count, 3), _array(digests, "u1", count, _HEX // 2), _array(levels, "<u2", count, 2)
    if arrays[0][:, 0].min() < 0:
        raise ValueError("a size below zero")
    extremes = _array(floats, "<f8", count, 2) if floats != "" else np.zeros((count, 2))
    if not np.isfinite(extremes).all():
        raise ValueError("a value that is not a number")
    return _Columns(paths, *arrays, extremes, reasons, etags)


def _texts(column: Any) -> list[str]:
    if type(column) is not list or set(map(type, column)) - {str}:
        raise ValueError("no texts")
    return column


def _hex(array: NDArray[Any], kind: str) -> str:
    return array.astype(kind).tobytes().hex()


def _array(text: Any, kind: str, rows: int, width: int) -> NDArray[Any]:
    """Return an array from `_hex`; a million numbers in JSON take 0.7 s to read."""
    if type(text) is not str:
        raise ValueError("no numbers")
    return np.frombuffer(bytes.fromhex(text), kind).reshape(rows, width)


def save_findings(max_pixels: int, findings: Findings, channels: int = RGB) -> None:
    """Store the findings, of images read as so many channels; failing to write the cache is not an error.

    Unreadable files are excluded, and so are files written in the last two seconds: they may change again without a change
    of their timestamp.
    """
    cutoff_ns = time.time_ns() - _RACY_NS
    is_stored = findings.is_read & findings.digests.any(axis=1) & (findings.numbers[:, 1:].max(axis=1) < cutoff_ns)
    try:
        with atomic_write(_file_of(findings.table)) as part, part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(_fingerprint(max_pixels, channels)) + "\n")
            file.writelines(_lines(findings, is_stored))
        if invalidated := _invalidated():
            left = invalidated.difference(compress(findings.table.paths, is_stored.tolist()))
            with atomic_write(_invalidated_file()) as part:
                part.write_text("".join(json.dumps(path) + "\n" for path in sorted(left)))
    except OSError:
        return


def _lines(findings: Findings, is_stored: NDArray[np.bool_]) -> Iterator[str]:
    paths = compress(findings.table.paths, is_stored.tolist())
    rows = np.flatnonzero(is_stored)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        numbers, digests = _hex(findings.numbers[part], "<i8"), _hex(findings.digests[part], "u1")
        texts = [column[part].tolist() for column in (findings.reasons, findings.etags)]
        floats = _hex(findings.floats[part], "<f8") if findings.floats[part].any() else ""
        levels = _hex(findings.levels[part], "<u2")
        columns = [numbers, digests, levels, floats, *(each if any(each) else [] for each in texts)]
        yield json.dumps([list(islice(paths, len(part))), *columns]) + "\n"


def invalidate(path: str) -> None:
    """Discard the finding at `path`: the next audit reads it again, whatever its size and timestamp."""
    try:
        _invalidated_file().parent.mkdir(parents=True, exist_ok=True)
        with _invalidated_file().open("a") as file:
            file.write(json.dumps(path) + "\n")
    except OSError:
        return


def _invalidated() -> set[str]:
    path = _invalidated_file()
    try:
        return (
            set(INVALIDATED_FORMAT.lines(INVALIDATED_FORMAT.content(path, lines=True), str(path)))
            if path.exists()
            else set()
        )
    except DataError:
        return set()


def _invalidated_file() -> Path:
    return cache_root() / "audits" / "doubted.jsonl"


def _fingerprint(max_pixels: int, channels: int) -> list[str | int | None]:
    """Return everything besides the bytes that determines whether they are an image."""
    return ["audit/6", version("pillow"), heif.version(), dicom.version(), max_pixels, channels]


def _file_of(samples: Sequence[Sample]) -> Path:
    table = SampleTable.of(samples)
    paths = table.paths
    ends = (paths[0], paths[len(paths) - 1]) if paths.has_one_base and table.is_ordered else (min(paths), max(paths))
    try:
        folder = os.path.commonpath(ends)  # a prefix of the first and the last is common to all
    except ValueError:  # objects and files mixed
        folder = paths[0]
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
    return cache_root() / "audits" / f"{name}.jsonl"
