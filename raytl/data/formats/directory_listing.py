"""Check which files exist for millions of rows: a folder with many rows is listed once, instead of one `stat` per row."""

from __future__ import annotations

import os
from pathlib import Path

_FEW = 32
"""Files of a folder that are checked one by one before the folder is listed."""


def is_file(path: str) -> bool:
    """Return whether the file exists; False for names that are too long."""
    return os.path.isfile(path)  # noqa: PTH113 - a path object costs ten times the call


class Folder:
    """A folder referenced by rows: its `path`, and the `prefix` of its files' keys."""

    __slots__ = ("_checks", "_names", "path", "prefix")

    def __init__(self, path: str, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        self._checks = 0
        self._names: set[str] | None = None

    def holds(self, name: str) -> bool:
        """Return whether it contains a file of this name."""
        if self._names is None:
            self._checks += 1
            if self._checks != _FEW:
                return is_file(f"{self.path}/{name}")
            try:
                self._names = _files_in(self.path or "/")
            except OSError:  # not listable, but its files may still be accessible
                return is_file(f"{self.path}/{name}")
        return name in self._names


class Folders(dict[str, Folder]):
    """The folders that rows reference, relative to `root`; each is resolved once."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, name: str) -> Folder:
        path = os.path.normpath(self._root / name)
        key = Path(os.path.relpath(path, self._root)).as_posix()
        folder = self[name] = Folder(path.rstrip("/"), "" if key == "." else f"{key}/")
        return folder


def _files_in(folder: str) -> set[str]:
    """Return the names of the files in a folder, including links to files."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}
