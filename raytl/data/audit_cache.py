"""What an earlier audit of the same files found, so that the next one costs a stat for each and no reading."""

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
from raytl.store.files import written_whole
from raytl.stored import Fault, Format
from raytl.stored.document import parse_text

_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What reading a file or an object gave: its sha256, why it is no image (empty if it is one), and its `levels`."""

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
        """What its values say about its bit depth."""
        return Levels(self.top, self.declared)

    def is_current(self, found: os.stat_result | ObjectInfo) -> bool:
        """True if the file, or the object, is as it was when it was read."""
        if isinstance(found, ObjectInfo):
            return (self.size, self.etag) == (found.size, found.etag)
        now = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return (self.size, self.mtime_ns, self.ctime_ns) == now


_TYPES = [int, int, int, str, str, str, int, int]
_fields = attrgetter(*(field.name for field in fields(Finding)))
_MOST_LEVEL = (1 << 16) - 1
_ADVICE = "Delete the file, and the images are read again."
INVALIDATED_FORMAT = Format[str](str, "the path of a file to read again", _ADVICE, DataError, max_bytes=1 << 17)


@gc_paused()
def load_findings(samples: Sequence[Sample], max_pixels: int) -> dict[str, Finding]:
    """Earlier findings of the samples by path; those of files that changed since are among them, so ask `holds`."""
    invalidated = _invalidated()
    try:
        with _file_of(samples).open(encoding="utf-8") as file:
            if parse_text(file.readline()) != _fingerprint(max_pixels):
                return {}
            found = _own(samples, map(_read, file))
            return {path: finding for path, finding in found if path not in invalidated}
    except (OSError, ValueError, Fault):
        return {}


def _own(samples: Sequence[Sample], read: Iterator[tuple[str, Finding]]) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of samples under the samples' own paths: a second text of a million paths takes 100 MB.

    As long as both have the same order, which they have where nothing changed, no index of the paths is needed.
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
    """Return the path and finding of a line, looked at by hand, as a schema would take four times as long.

    Raises:
        Fault: it is no JSON.
        ValueError: it is no finding.
    """
    row = parse_text(line)
    if type(row) is not list or list(map(type, row)) != [str, *_TYPES]:
        raise ValueError("this line is no finding")
    finding = Finding(*row[1:])
    if min(finding.size, finding.top, finding.declared) < 0 or max(finding.top, finding.declared) > _MOST_LEVEL:
        raise ValueError("this line is no finding")
    return row[0], finding


def save_findings(samples: Sequence[Sample], max_pixels: int, findings: Mapping[str, Finding]) -> None:
    """Notes the findings by path. A cache that cannot be written is no reason to stop.

    Left out are files of which no byte could be read, and those written in the last two seconds, which could
    change again without a change of their time stamp.
    """
    settled = time.time_ns() - _RACY_NS
    files = {path: f for path, f in findings.items() if f.digest and max(f.mtime_ns, f.ctime_ns) < settled}
    try:
        with written_whole(_file_of(samples)) as part, part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(_fingerprint(max_pixels)) + "\n")
            file.writelines(json.dumps((path, *_fields(finding))) + "\n" for path, finding in files.items())
        if invalidated := _invalidated():
            with written_whole(_invalidated_file()) as part:
                part.write_text("".join(json.dumps(path) + "\n" for path in sorted(invalidated - files.keys())))
    except OSError:
        return


def invalidate(path: str) -> None:
    """What was found at `path` is no longer believed: the next audit reads it again, whatever its size and time say."""
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
    """What decides whether bytes are an image, besides the bytes."""
    return ["audit/3", version("pillow"), heif.version(), max_pixels]


def _file_of(samples: Sequence[Sample]) -> Path:
    ends = min(sample.path for sample in samples), max(sample.path for sample in samples)
    try:
        folder = os.path.commonpath(ends)  # what the first and the last share, all share
    except ValueError:  # objects and files together
        folder = samples[0].path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]
    return cache_root() / "audits" / f"{name}.jsonl"
