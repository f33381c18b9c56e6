"""Which files are there, for millions of rows: a folder that many rows name is listed once, not asked for each."""

from __future__ import annotations

import os
from pathlib import Path

_FEW = 32
"""Files of a folder that are asked for one by one before the folder is listed."""


def is_file(path: str) -> bool:
    """Return whether a file is there; False for names that are too long."""
    return os.path.isfile(path)  # noqa: PTH113 - a path object costs ten times the call


class Folder:
    """A folder that rows name: its `path`, and the `prefix` of the keys of its files."""

    __slots__ = ("_asked", "_names", "path", "prefix")

    def __init__(self, path: str, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        self._asked = 0
        self._names: set[str] | None = None

    def holds(self, name: str) -> bool:
        """Return whether a file of this name is in it."""
        if self._names is None:
            self._asked += 1
            if self._asked != _FEW:
                return is_file(f"{self.path}/{name}")
            try:
                self._names = _files_in(self.path or "/")
            except OSError:  # it may not be listed, but its files may be asked for
                return is_file(f"{self.path}/{name}")
        return name in self._names


class Folders(dict[str, Folder]):
    """The folders below and beside `root` by how rows name them; each is worked out once."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, named: str) -> Folder:
        path = os.path.normpath(self._root / named)
        key = Path(os.path.relpath(path, self._root)).as_posix()
        found = self[named] = Folder(path.rstrip("/"), "" if key == "." else f"{key}/")
        return found


def _files_in(folder: str) -> set[str]:
    """Return the names of the files in a folder, and of the links in it that lead to files."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}
