"""The protocol of an object store: a folder, a bucket, or memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ABSENT = "absent"
"""The `expected` etag of `put_bytes` for a key that must not exist yet."""
MAX_BYTES = 1 << 30
"""Default limit for an object that is read into memory."""


UNKNOWN = -1
"""The size of an object that was not listed."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: `key` relative to the store's URI, and an `etag` that changes when its bytes do.

    `archive` is the storage class that the object must be restored from before it can be read, else empty. A listing does
    not show which objects are restored; `stat` does. An object that was not listed is wanted with the size `UNKNOWN`, no etag,
    and the SHA-256 that its bytes must have.
    """

    key: str
    size: int
    etag: str
    archive: str = field(default="", compare=False)
    sha256: str = field(default="", compare=False)


class ObjectStore(Protocol):
    """Objects below one URI. Failures raise `StoreError` or a subclass: NotFound, Denied, Unavailable, Conflict."""

    @property
    def uri(self) -> str:
        """The URI that keys are relative to."""
        ...

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with `prefix`, ordered by the UTF-8 bytes of their keys.

        Keys that end in a slash mark folders; they are left out unless `markers`.
        """
        ...

    def stat(self, key: str) -> ObjectInfo:
        """Return the object's metadata; NotFound if no object has exactly this key."""
        ...

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, max_bytes: int = MAX_BYTES) -> bytes:
        """Return `length` bytes of the object from `start`, fewer if it ends earlier. None reads to the end, and is an error
        if that is more than `max_bytes`."""
        ...

    def get_to_file(self, key: str, path: Path, size: int, etag: str | None = None) -> None:
        """Write the object of the listed `size` and `etag` (None: any) to `path`, whole or not at all; never write more than
        `size` bytes."""
        ...

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Fetch objects in bulk to `folder`/`key`, and yield those that arrived whole and verified, in any order.

        `wanted` comes from a recent listing, or has SHA-256 digests; what is yielded has sizes and etags. The caller fetches the rest, possibly all, with `get_to_file`, which reports
        errors. Parent folders must exist."""
        ...

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """Store `content` atomically. With `expected`, replace only the object with that etag (ABSENT: none); otherwise raise
        Conflict and change nothing."""
        ...

    def guards(self, key: str, content: bytes) -> bool:
        """Return whether `put_bytes` checks its condition atomically; if False, it only checks shortly before it writes.

        It may test this with puts of `content`, which `key` must hold already."""
        ...

    def put_file(self, path: Path, key: str) -> None:
        """Store the file under `key`, replacing any object there; readers see the old or the new one, whole."""
        ...

    def copy(self, source: str, key: str) -> None:
        """Copy an object within the store, without downloading it."""
        ...

    def delete(self, key: str) -> None:
        """Delete the object, if it exists."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether an object has exactly this key."""
        ...


def too_large(where: str, max_bytes: int) -> str:
    """Return the error text for an object that is larger than the caller allows."""
    return f"{where}: holds more than {max_bytes:,} bytes; expected at most {max_bytes:,}. Check the object"


def replaced(where: str) -> str:
    """Return the error text for an object whose etag differs from its listing."""
    return f"{where}: was replaced after the listing. Run again"


def resized(where: str, size: int, listed_size: int) -> str:
    """Return the error text for an object whose size differs from its listing."""
    return (
        f"{where}: holds {size:,} bytes, but was listed with {listed_size:,}: it changed after the listing. Run again"
    )
