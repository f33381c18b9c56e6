"""What raytl asks of a store of objects, the same of a folder, of a bucket and of memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ABSENT = "absent"
"""What `put_bytes` expects where nothing may be there yet."""
MOST_BYTES = 1 << 30
"""Of an object that is read into memory, where the caller gives no bound."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: `key` relative to the store's URI, and an `etag` that changes when its bytes do.

    `archive` is the storage class that the object has to be restored from before it can be read, else empty. A listing
    does not tell which objects are restored already; `stat` does.
    """

    key: str
    size: int
    etag: str
    archive: str = field(default="", compare=False)


class ObjectStore(Protocol):
    """Objects below one URI. Failures are `StoreError`s: NotFound, Denied, Unavailable, Conflict, or the class itself."""

    @property
    def uri(self) -> str:
        """The URI that keys are relative to."""
        ...

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """The objects whose keys begin with `prefix`, in order of their keys' UTF-8 bytes.

        Keys that end in a slash mark folders; they are left out unless `markers`.
        """
        ...

    def stat(self, key: str) -> ObjectInfo:
        """What is known of the object; NotFound where there is none under exactly this key."""
        ...

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, most: int = MOST_BYTES) -> bytes:
        """`length` bytes of the object from `start` on (none: to its end, an error if there are more than `most`); fewer
        where it ends before."""
        ...

    def get_to_file(self, key: str, path: Path, size: int) -> None:
        """Writes the object of the listed `size` to `path`, or raises and leaves no file there that is not whole; no more
        than `size` bytes are written in any case."""
        ...

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Those of `wanted`, as they were listed just now, that came whole and checked to `folder`/`key` by a way that
        only many at once are worth; in any order. The others, be it all, are for `get_to_file`, which says what is wrong.
        Their folders have to be there."""
        ...

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """Stores `content` whole. With `expected`, only in place of the object of that etag (ABSENT: of none), else
        Conflict and nothing is changed."""
        ...

    def guards(self, key: str, content: bytes) -> bool:
        """True if a condition of `put_bytes` holds whoever else puts in that moment; where it is False, what is there was
        only looked at shortly before. Tried out, where need be, with puts of `content`, which is what `key` has."""
        ...

    def put_file(self, path: Path, key: str) -> None:
        """Stores the file under `key`, in place of what was there; readers see the old or the new one, whole."""
        ...

    def copy(self, source: str, key: str) -> None:
        """Stores under `key` what is under `source`, without bringing it here."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object, if there is one."""
        ...

    def exists(self, key: str) -> bool:
        """True if there is an object under exactly this key."""
        ...


def too_large(where: str, most: int) -> str:
    """Return the error of an object that is larger than the caller allows."""
    return f"{where}: holds more than {most:,} bytes; expected at most {most:,}. Check the object"


def resized(where: str, found: int, listed: int) -> str:
    """Return the error of an object that is not as large as its listing said."""
    return f"{where}: holds {found:,} bytes, but the listing said {listed:,}: it changed meanwhile; run again"
