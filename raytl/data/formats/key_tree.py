"""The files of a dataset as a tree of folders: built from keys, so that disks, archives and buckets are read alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raytl.data.formats.skip_rules import SYSTEM, is_system, skip_reason
from raytl.errors import DataError


@dataclass(slots=True)
class Folder:
    """A folder by its `key`, the posix path below the root: folders by name, names of its own images, images below it."""

    key: str
    folders: dict[str, Folder] = field(default_factory=dict, repr=False)
    images: list[str] = field(default_factory=list, repr=False)
    total: int = 0

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def filled(self) -> list[Folder]:
        """The folders in it that hold images, to any depth."""
        return [folder for folder in self.folders.values() if folder.total]

    def below(self) -> Iterator[str]:
        """Return the keys of all images below: each folder's own first, then folder by folder."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield from (f"{folder.key}/{name}" if folder.key else name for name in folder.images)
            waiting.extend(reversed(folder.folders.values()))


def tree(keys: Iterable[str]) -> tuple[Folder, list[str]]:
    """Return the images among `keys` as a tree, and the keys of all other files; a folder of a tool counts as one file.

    A key that ends in a slash is a folder, which may be empty.
    """
    root, others = Folder(""), dict[str, None]()
    for key in keys:
        reason = skip_reason(key)
        if reason == SYSTEM:
            others[_system_part(key)] = None
            continue
        above, _, name = key.rpartition("/")
        is_image = bool(name) and not reason
        folder = _opened(root, above, int(is_image))
        if is_image:
            folder.images.append(name)
        elif name:
            others[key] = None
    return root, list(others)


def _opened(root: Folder, key: str, images: int) -> Folder:
    """Return the folder at `key`, made if it is not there, with `images` added to its total and those above it."""
    root.total += images
    for part in key.split("/") if key else ():
        path = f"{root.key}/{part}" if root.key else part
        root = root.folders.setdefault(part, Folder(path))
        root.total += images
    return root


def _system_part(key: str) -> str:
    """Return the key up to the first part that a tool wrote; a folder ends in a slash."""
    parts = key.split("/")
    end = next(place for place, part in enumerate(parts, start=1) if is_system(part))
    return "/".join(parts[:end]) + ("/" if end < len(parts) else "")


def files_below(root: Path) -> Iterator[str]:
    """Return the keys of all files below `root`, each folder's own first, sorted; folders that are empty end in a slash.

    Links to folders are followed, but not in circles. Folders that tools wrote are named and not entered.

    Raises:
        DataError: a folder cannot be listed.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        key, above = waiting.pop()
        here, files, inside = _listed(f"{root}/{key}")
        if here in above:
            continue
        if key and not files and not inside:
            yield key
        yield from (f"{key}{name}" for name in files)
        yield from (f"{key}{name}/" for name in inside if is_system(name))
        waiting.extend((f"{key}{name}/", above | {here}) for name in reversed(inside) if not is_system(name))


def _listed(path: str) -> tuple[tuple[int, int], list[str], list[str]]:
    """Return what identifies the folder at `path`, and the sorted names of its files and of its folders."""
    try:
        status = Path(path).stat()
        with os.scandir(path) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as exc:
        where = exc.filename or path
        raise DataError(f"{where}: cannot be listed ({exc.strerror}); make it readable, or move it away") from exc
    files, folders = ([name for name, is_folder in found if is_folder == wanted] for wanted in (False, True))
    return (status.st_dev, status.st_ino), files, folders
