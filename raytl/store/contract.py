"""What raytl asks of a store of objects, the same of a folder and of a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object: `key` relative to the store's URI, and an `etag` that changes when its bytes do."""

    key: str
    size: int
    etag: str


class ObjectStore(Protocol):
    """Objects below one URI. Failures are `StoreError`s: NotFound, Denied, Unavailable, or the class itself."""

    @property
    def uri(self) -> str:
        """The URI that keys are relative to."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys begin with `prefix`, in order of their keys' UTF-8 bytes."""
        ...

    def get_to_file(self, key: str, path: Path) -> None:
        """Writes the whole object to `path`, or raises and leaves no file there that is not whole."""
        ...

    def put_file(self, path: Path, key: str) -> None:
        """Stores the file under `key`, in place of what was there; readers see the old or the new one, whole."""
        ...

    def exists(self, key: str) -> bool:
        """True if there is an object under exactly this key."""
        ...
