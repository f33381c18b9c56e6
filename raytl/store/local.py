"""A folder as an object store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raytl.errors import Denied, NotFound, StoreError
from raytl.store.contract import ObjectInfo
from raytl.store.files import PARTIAL, written_whole


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below `root`; keys are posix paths under it."""

    root: Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The files whose keys begin with `prefix`."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith(PARTIAL))
        keys = ((path.relative_to(self.root).as_posix(), path) for path in files)
        for key, path in sorted(keys, key=lambda item: item[0].encode("utf-8", "surrogateescape")):
            if key.startswith(prefix):
                status = path.stat()
                yield ObjectInfo(key, status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")

    def get_to_file(self, key: str, path: Path) -> None:
        """Copies the file."""
        self._copy(self._place(key), path, key)

    def put_file(self, path: Path, key: str) -> None:
        """Copies the file in."""
        self._copy(path, self._place(key), key)

    def exists(self, key: str) -> bool:
        """True if the file is there."""
        return self._place(key).is_file()

    def _place(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreError(f"{self.root}: key {key!r} would lie outside the store; expected a path below it")
        return self.root / key

    def _copy(self, source: Path, target: Path, key: str) -> None:
        try:
            with written_whole(target) as part:
                shutil.copyfile(source, part)
        except FileNotFoundError as exc:
            raise NotFound(f"{self.root}: there is no {key!r} ({exc.filename or source} does not exist)") from exc
        except PermissionError as exc:
            raise Denied(f"{self.root}: {key!r}: not allowed ({exc})") from exc
        except OSError as exc:
            raise StoreError(f"{self.root}: {key!r}: {exc}") from exc
