"""A folder as an object store."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from raytl.disk import disk_error
from raytl.errors import Conflict, Denied, DiskError, NotFound, StoreError, TooLarge
from raytl.store.contract import ABSENT, MAX_BYTES, ObjectInfo, replaced, resized, too_large
from raytl.store.counted import ByteCount, Counted, TooManyBytes
from raytl.store.drafts import is_draft, sweep
from raytl.store.files import atomic_write

_LOCK = ".raytl-part-lock"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below `root`; keys are posix paths under it."""

    root: Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """Yield the files whose keys start with `prefix`; a folder has no markers."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not _is_internal(path.name))
        keys = ((path.relative_to(self.root).as_posix(), path) for path in files)
        for key, path in sorted(keys, key=lambda item: item[0].encode("utf-8", "surrogateescape")):
            if key.startswith(prefix):
                yield _info(key, path.stat())

    def stat(self, key: str) -> ObjectInfo:
        """Return the file's size, with its time and inode as the etag."""
        with self._translated(key):
            return _info(key, self._existing(key).stat())

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, max_bytes: int = MAX_BYTES) -> bytes:
        """Read the file from `start`."""
        with self._translated(key), self._existing(key).open("rb") as file:
            file.seek(start)
            size = max(0, os.fstat(file.fileno()).st_size - start)  # read() allocates all that it may return
            content = file.read(min(max_bytes if length is None else length, size) + (length is None))
        if length is None and len(content) > max_bytes:
            raise TooLarge(too_large(f"{self.root}/{key}", max_bytes))
        return content

    def get_to_file(self, key: str, path: Path, size: int, etag: str | None = None) -> None:
        """Copy the file."""
        with self._translated(key), atomic_write(path) as part, self._existing(key).open("rb") as source:
            try:
                with part.open("wb") as file:
                    shutil.copyfileobj(Counted(source, ByteCount(size)), file, _CHUNK_BYTES)
            except TooManyBytes as exc:
                raise TooLarge(f"{self.root}/{key}: holds more than the {size:,} bytes listed. Run again") from exc
            if (copied := part.stat().st_size) != size:
                raise StoreError(resized(f"{self.root}/{key}", copied, size))
            if etag not in (None, _info(key, os.fstat(source.fileno())).etag):
                raise StoreError(replaced(f"{self.root}/{key}"))

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Yield nothing: fetching files one by one is as fast."""
        yield from ()

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """Write a temporary file and rename it; check `expected` under a lock on the folder."""
        with self._translated(key), self._locked(), atomic_write(self._place(key)) as part:
            part.write_bytes(content)
            if expected is not None and expected != (self.stat(key).etag if self.exists(key) else ABSENT):
                raise Conflict(f"{self.root}: {key!r} does not have the expected etag: another process wrote it first")
        return self.stat(key)

    def guards(self, key: str, content: bytes) -> bool:
        """Return True: puts hold a lock."""
        return True

    def put_file(self, path: Path, key: str) -> None:
        """Copy the file into the folder."""
        self._copy(path, self._place(key), key)

    def copy(self, source: str, key: str) -> None:
        """Copy the file within the folder."""
        self._copy(self._place(source), self._place(key), source)

    def delete(self, key: str) -> None:
        """Delete the file."""
        with self._translated(key):
            self._place(key).unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Return whether the file exists."""
        return self._place(key).is_file()

    def _place(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreError(f"{self.root}: key {key!r} would lie outside the store; expected a path below it")
        return self.root / key

    def _existing(self, key: str) -> Path:
        place = self._place(key)
        if not place.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))
        return place

    def _copy(self, source: Path, target: Path, key: str) -> None:
        with self._translated(key), atomic_write(target) as part:
            shutil.copyfile(source, part)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _sweep_once(self.root)
            yield

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise NotFound(f"{self.root}: there is no {key!r} ({exc.filename or exc} does not exist)") from exc
        except PermissionError as exc:
            raise Denied(f"{self.root}: {key!r}: not allowed ({exc})") from exc
        except DiskError:
            raise
        except OSError as exc:
            raise disk_error(exc) or StoreError(f"{self.root}: {key!r}: {exc}") from exc


def _is_internal(name: str) -> bool:
    """Return whether the name is that of a lock or a draft, not of an object."""
    return name == _LOCK or is_draft(name)


@cache
def _sweep_once(root: Path) -> None:
    """Remove the drafts of killed processes, once per process, because this visits every file."""
    sweep(root)


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")
