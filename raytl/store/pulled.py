"""The folder of a pulled URI in this node's cache: its files, and the list of those that were downloaded whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from raytl.errors import StoreError
from raytl.store.cache import cache_root
from raytl.store.contract import ObjectInfo
from raytl.store.files import atomic_write
from raytl.store.keys import invalid_reason
from raytl.store.s3_settings import S3Settings
from raytl.stored import Format
from raytl.stored.bounds import Bound

_quoted = json.encoder.encode_basestring_ascii
"""A string as JSON; `json.dumps` takes three times as long."""


@dataclass(frozen=True, slots=True)
class Place:
    """The cache folder of a pulled URI."""

    root: Path

    @property
    def files(self) -> Path:
        """The folder of the files, by their keys."""
        return self.root / "files"

    @property
    def manifest(self) -> Path:
        """The list of the files that the last pull left."""
        return self.root / "manifest.json"

    @property
    def journal(self) -> Path:
        """The files that an unfinished pull downloaded."""
        return self.root / "journal.jsonl"

    @property
    def readers(self) -> Path:
        """An empty file, locked by the processes that read the files now."""
        return self.root / "readers"

    @property
    def fetched(self) -> Path:
        """The names of the sets of samples whose files here are current, as empty files (see `raytl.store.audited`)."""
        return self.root / "fetched"


def _is_pulled(info: ObjectInfo) -> bool:
    return not invalid_reason(info.key) and 0 <= info.size < 2**63


_Pulled = Annotated[ObjectInfo, Bound("a key that can be a file, and its size", _is_pulled)]
_ADVICE = "Delete its folder and run again to pull it."
FETCHED_FORMAT = Format[ObjectInfo](_Pulled, "a fetched file", _ADVICE, StoreError, max_bytes=1 << 16)
PULLED_FORMAT = Format[list[ObjectInfo]](
    list[_Pulled], "the list of pulled files", _ADVICE, StoreError, max_bytes=4 << 30
)


def place_of(uri: str, s3: S3Settings) -> Place:
    """Return the place of a URI, which has the same name on every node."""
    return Place(_folder() / hashlib.sha256(s3.cache_name(uri).encode()).hexdigest()[:24])


def places_with(paths: Iterable[str]) -> set[Place]:
    """Return the places of this node that contain these files; others are in none."""
    top = f"{_folder()}/"
    return {
        Place(Path(top, name))
        for name in {path[len(top) :].partition("/")[0] for path in paths if path.startswith(top)}
    }


def _folder() -> Path:
    return cache_root() / "pulled"


def recorded(place: Place) -> dict[str, ObjectInfo]:
    """Return the files that were downloaded whole: the list of the last finished pull, and the journal of a killed one.

    Unreadable entries are downloaded again.
    """
    rows: dict[str, ObjectInfo] = {}
    with suppress(StoreError):  # absent, or damaged
        rows = {row.key: row for row in PULLED_FORMAT.load(place.manifest)}
    with suppress(StoreError):
        for line in FETCHED_FORMAT.content(place.journal, lines=True).split(b"\n"):
            with suppress(StoreError):  # truncated by a kill
                row = FETCHED_FORMAT.read(line, str(place.journal))
                rows[row.key] = row
    return rows


def recorded_as(place: Place, wanted: list[ObjectInfo]) -> dict[str, ObjectInfo]:
    """Return `recorded`; if the list of files is that of `wanted`, without reading each entry."""
    if not place.journal.exists():
        with suppress(StoreError):
            if PULLED_FORMAT.content(place.manifest) == manifest_of(wanted):
                return {info.key: info for info in wanted}
    return recorded(place)


def sizes_below(folder: Path) -> dict[str, int]:
    """Return the size of each file in the folder by its key, following links."""
    sizes, folders = dict[str, int](), [""]
    while folders:
        inner = folders.pop()
        handle = os.open(f"{folder}/{inner}", os.O_RDONLY | os.O_DIRECTORY)  # short paths halve the time of each stat
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    if entry.is_file():
                        sizes[inner + entry.name] = entry.stat().st_size
                    elif entry.is_dir():
                        folders.append(f"{inner}{entry.name}/")
        finally:
            os.close(handle)
    return sizes


def record(place: Place, rows: Mapping[str, ObjectInfo]) -> None:
    """Write the list of whole files, which replaces the journal."""
    with atomic_write(place.manifest) as part:
        part.write_bytes(manifest_of(rows.values()))
    place.journal.unlink(missing_ok=True)


def manifest_of(infos: Iterable[ObjectInfo]) -> bytes:
    """Return the content of the list of files; several times as fast as json with dictionaries."""
    return f"[{', '.join(map(row_of, infos))}]".encode()


def row_of(info: ObjectInfo) -> str:
    """Return the entry of a file in the list."""
    return f'{{"key": {_quoted(info.key)}, "size": {info.size}, "etag": {_quoted(info.etag)}}}'
