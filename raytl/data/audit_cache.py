"""Cache the findings of audits, so that the next audit of unchanged files needs one `stat` each and no reading."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from itertools import compress, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytl.data import heif
from raytl.data.bit_depth import Levels
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

    @property
    def levels(self) -> Levels:
        """Return the values that determine its bit depth."""
        return Levels(self.top, self.declared)

    def is_current(self, now: os.stat_result | ObjectInfo) -> bool:
        """Return whether the file or object is unchanged since it was read."""
        if isinstance(now, ObjectInfo):
            return (self.size, self.etag) == (now.size, now.etag)
        status = (now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        return (self.size, self.mtime_ns, self.ctime_ns) == status


_WIDTH = len(fields(Finding))
_ROWS = 1 << 12
"""Rows of a line: the file has columns of this length."""
_MAX_LEVEL = (1 << 16) - 1
_MAX_NUMBER = 1 << 63
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
        self.reasons, self.etags = np.full(rows, "", object), np.full(rows, "", object)

    def put(self, row: int, finding: Finding) -> None:
        """Set the finding of a row."""
        self.is_read[row] = True
        self.numbers[row] = finding.size, finding.mtime_ns, finding.ctime_ns
        self.digests[row] = np.frombuffer(bytes.fromhex(finding.digest) or bytes(_HEX // 2), np.uint8)
        self.levels[row] = finding.top, finding.declared
        self.reasons[row], self.etags[row] = finding.reason, finding.etag

    def row(self, row: int) -> Finding:
        """Return the finding of a known row."""
        assert self.is_read[row], f"row {row} has no finding"
        digest = self.digests[row].tobytes().hex() if self.digests[row].any() else ""
        (size, mtime_ns, ctime_ns), (top, declared) = self.numbers[row].tolist(), self.levels[row].tolist()
        return Finding(size, mtime_ns, ctime_ns, digest, self.reasons[row], self.etags[row], top, declared)

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
def load_findings(samples: Sequence[Sample], max_pixels: int) -> Findings:
    """Return cached findings of the samples; some may be outdated, so check `is_current`."""
    findings = Findings(samples)
    try:
        with _file_of(findings.table).open(encoding="utf-8") as file:
            if parse_text(file.readline()) == _fingerprint(max_pixels):
                _fill(findings, map(_read, file))
    except (OSError, ValueError, OverflowError, Fault):
        return Findings(findings.table)
    if invalidated := _invalidated():
        findings.is_read &= [path not in invalidated for path in findings.table.paths]
    return findings


def _fill(findings: Findings, lines: Iterator[list[list[Any]]]) -> None:
    """Set the findings of the lines whose paths are in the table.

    While both have the same order, which they have if nothing changed, no index of the paths is built.
    """
    rows = enumerate(findings.table.paths)
    index: dict[str, int] | None = None
    for paths, *columns in lines:
        places = _in_order(paths, rows) if index is None else []
        if len(places) < len(paths):
            index = index or {path: row for row, path in enumerate(findings.table.paths)}
            places = [index.get(path, -1) for path in paths]
        _put_all(findings, np.array(places, np.int64), columns)


def _in_order(paths: Sequence[str], rows: Iterator[tuple[int, str]]) -> list[int]:
    """Return the rows of these paths among the next `rows`, up to the first that is not there."""
    places: list[int] = []
    for row, each in rows:
        if each == paths[len(places)]:
            places.append(row)
            if len(places) == len(paths):
                break
    return places


def _put_all(findings: Findings, places: NDArray[np.int64], columns: Sequence[Sequence[Any]]) -> None:
    is_ours = places >= 0
    rows = places[is_ours]
    size, mtime, ctime, digests, reasons, etags, top, declared = columns
    findings.is_read[rows] = True
    findings.numbers[rows] = np.array([size, mtime, ctime], np.int64).T[is_ours]
    raw = np.frombuffer(bytes.fromhex("".join(digests)), np.uint8)
    findings.digests[rows] = raw.reshape(len(places), _HEX // 2)[is_ours]
    findings.levels[rows] = np.array([top, declared], np.uint16).T[is_ours]
    for column, values in ((findings.reasons, reasons), (findings.etags, etags)):
        if any(values):
            column[rows] = np.array(values, object)[is_ours]


def _read(line: str) -> list[list[Any]]:
    """Return the columns of a line, checked by hand, as a schema takes four times as long.

    Raises:
        Fault: it is not JSON.
        ValueError: it has no findings.
    """
    columns = parse_text(line)
    if type(columns) is not list or len(columns) != 1 + _WIDTH or any(type(column) is not list for column in columns):
        raise ValueError("no columns of findings")
    if len({len(column) for column in columns}) != 1 or [_type(column) for column in columns] != _TYPES:
        raise ValueError("columns of other lengths or types")
    if {len(digest) for digest in columns[4]} != {_HEX} or any(min(columns[i]) < 0 for i in (1, 7, 8)):
        raise ValueError("not a finding")
    if max(map(max, columns[7:])) > _MAX_LEVEL or max(map(max, columns[1:4])) >= _MAX_NUMBER:
        raise ValueError("not a finding")
    return columns


_TYPES = [str, int, int, int, str, str, str, int, int]


def _type(column: Sequence[Any]) -> type | None:
    """Return the type of all values; None if they differ, or there are none."""
    kinds = set(map(type, column))
    return kinds.pop() if len(kinds) == 1 else None


def save_findings(max_pixels: int, findings: Findings) -> None:
    """Store the findings; failing to write the cache is not an error.

    Unreadable files are excluded, and so are files written in the last two seconds: they may change again without a change
    of their timestamp.
    """
    cutoff_ns = time.time_ns() - _RACY_NS
    is_stored = findings.is_read & findings.digests.any(axis=1) & (findings.numbers[:, 1:].max(axis=1) < cutoff_ns)
    try:
        with atomic_write(_file_of(findings.table)) as part, part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(_fingerprint(max_pixels)) + "\n")
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
        content = findings.digests[part].tobytes().hex()
        digests = [content[at : at + _HEX] for at in range(0, len(content), _HEX)]
        texts = [findings.reasons[part].tolist(), findings.etags[part].tolist()]
        columns = [*findings.numbers[part].T.tolist(), digests, *texts, *findings.levels[part].T.tolist()]
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


def _fingerprint(max_pixels: int) -> list[str | int | None]:
    """Return everything besides the bytes that determines whether they are an image."""
    return ["audit/4", version("pillow"), heif.version(), max_pixels]


def _file_of(samples: Sequence[Sample]) -> Path:
    paths = SampleTable.of(samples).paths
    ends = min(paths), max(paths)
    try:
        folder = os.path.commonpath(ends)  # a prefix of the first and the last is common to all
    except ValueError:  # objects and files mixed
        folder = paths[0]
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
    return cache_root() / "audits" / f"{name}.jsonl"
