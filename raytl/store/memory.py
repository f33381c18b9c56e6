"""An object store in this process's memory, for tests: memory://name. Its objects last as long as the process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytl.errors import Conflict, NotFound, StoreError, TooLarge
from raytl.store.contract import ABSENT, MAX_BYTES, ObjectInfo, replaced, resized, too_large
from raytl.store.files import atomic_write

_OBJECTS: dict[str, bytes] = {}
"""By store name and key, so that one store may lie below another."""
_CHANGING = threading.Lock()


@dataclass(frozen=True, slots=True)
class MemoryStore:
    """The objects that this process stores under `name`."""

    name: str

    @property
    def uri(self) -> str:
        """memory://name."""
        return f"memory://{self.name}"

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with `prefix`."""
        for place in sorted(dict(_OBJECTS), key=str.encode):
            if place.startswith(self._place(prefix)) and (markers or not place.endswith("/")):
                yield self.stat(place.removeprefix(self._place("")))

    def stat(self, key: str) -> ObjectInfo:
        """Return the object's length, with a digest as its etag."""
        content = self.get_bytes(key)
        return ObjectInfo(key, len(content), _etag(content))

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, max_bytes: int = MAX_BYTES) -> bytes:
        """Return a slice of the object."""
        try:
            content = _OBJECTS[self._place(key)]
        except KeyError:
            raise NotFound(f"{self.uri}: there is no {key!r}") from None
        part = content[start : None if length is None else start + length]
        if length is None and len(part) > max_bytes:
            raise TooLarge(too_large(f"{self.uri}/{key}", max_bytes))
        return part

    def get_to_file(self, key: str, path: Path, size: int, etag: str | None = None) -> None:
        """Write the object to a file."""
        content = self.get_bytes(key)
        if len(content) != size:
            raise StoreError(resized(f"{self.uri}/{key}", len(content), size))
        if etag not in (None, _etag(content)):
            raise StoreError(replaced(f"{self.uri}/{key}"))
        with atomic_write(path) as part:
            part.write_bytes(content)

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Yield nothing: fetching objects one by one is as fast."""
        yield from ()

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """Store the bytes."""
        with _CHANGING:
            current = self.stat(key).etag if self.exists(key) else ABSENT
            if expected is not None and expected != current:
                raise Conflict(f"{self.uri}: {key!r} does not have the expected etag: another process wrote it first")
            _OBJECTS[self._place(key)] = bytes(content)
            return self.stat(key)

    def guards(self, key: str, content: bytes) -> bool:
        """Return True: one lock guards all puts."""
        return True

    def put_file(self, path: Path, key: str) -> None:
        """Store the file's bytes."""
        self.put_bytes(key, path.read_bytes())

    def copy(self, source: str, key: str) -> None:
        """Store the same bytes under another key."""
        self.put_bytes(key, self.get_bytes(source))

    def delete(self, key: str) -> None:
        """Delete the object."""
        _OBJECTS.pop(self._place(key), None)

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        return self._place(key) in _OBJECTS

    def _place(self, key: str) -> str:
        return f"{self.name.rstrip('/')}/{key}"


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
