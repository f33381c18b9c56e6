"""Cache the findings of audits, so that the next audit of unchanged files needs one `stat` each and no reading."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path

from raytl.data import heif
from raytl.data.bit_depth import Levels
from raytl.data.gc_pause import gc_paused
from raytl.data.manifest import Sample
from raytl.errors import DataError
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


_TYPES = [int, int, int, str, str, str, int, int]
_fields = attrgetter(*(field.name for field in fields(Finding)))
_MAX_LEVEL = (1 << 16) - 1
_ADVICE = "Delete the file; the images are read again."
INVALIDATED_FORMAT = Format[str](str, "the path of a file to read again", _ADVICE, DataError, max_bytes=1 << 17)


@gc_paused()
def load_findings(samples: Sequence[Sample], max_pixels: int) -> dict[str, Finding]:
    """Return cached findings of the samples by path; some may be outdated, so check `is_current`."""
    invalidated = _invalidated()
    try:
        with _file_of(samples).open(encoding="utf-8") as file:
            if parse_text(file.readline()) != _fingerprint(max_pixels):
                return {}
            findings = _of_samples(samples, map(_read, file))
            return {path: finding for path, finding in findings if path not in invalidated}
    except (OSError, ValueError, Fault):
        return {}


def _of_samples(samples: Sequence[Sample], read: Iterator[tuple[str, Finding]]) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of samples under the samples' own path objects: a second copy of a million paths takes 100 MB.

    While both have the same order, which they have if nothing changed, no index of the paths is built.
    """
    place = 0
    own: dict[str, str] = {}
    for path, finding in read:
        if place < len(samples) and samples[place].path == path:
            yield samples[place].path, finding
            place += 1
            continue
        own = own or {sample.path: sample.path for sample in samples}
        if path in own:
            yield own[path], finding


def _read(line: str) -> tuple[str, Finding]:
    """Return the path and finding of a line, checked by hand, as a schema takes four times as long.

    Raises:
        Fault: it is not JSON.
        ValueError: it is not a finding.
    """
    row = parse_text(line)
    if type(row) is not list or list(map(type, row)) != [str, *_TYPES]:
        raise ValueError("not a finding")
    finding = Finding(*row[1:])
    if min(finding.size, finding.top, finding.declared) < 0 or max(finding.top, finding.declared) > _MAX_LEVEL:
        raise ValueError("not a finding")
    return row[0], finding


def save_findings(samples: Sequence[Sample], max_pixels: int, findings: Mapping[str, Finding]) -> None:
    """Store the findings by path; failing to write the cache is not an error.

    Unreadable files are excluded, and so are files written in the last two seconds: they may change again without a change
    of their timestamp.
    """
    cutoff_ns = time.time_ns() - _RACY_NS
    files = {path: f for path, f in findings.items() if f.digest and max(f.mtime_ns, f.ctime_ns) < cutoff_ns}
    try:
        with atomic_write(_file_of(samples)) as part, part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(_fingerprint(max_pixels)) + "\n")
            file.writelines(json.dumps((path, *_fields(finding))) + "\n" for path, finding in files.items())
        if invalidated := _invalidated():
            with atomic_write(_invalidated_file()) as part:
                part.write_text("".join(json.dumps(path) + "\n" for path in sorted(invalidated - files.keys())))
    except OSError:
        return


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
    return ["audit/3", version("pillow"), heif.version(), max_pixels]


def _file_of(samples: Sequence[Sample]) -> Path:
    ends = min(sample.path for sample in samples), max(sample.path for sample in samples)
    try:
        folder = os.path.commonpath(ends)  # a prefix of the first and the last is common to all
    except ValueError:  # objects and files mixed
        folder = samples[0].path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
    return cache_root() / "audits" / f"{name}.jsonl"
