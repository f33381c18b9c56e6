"""Build a tree of folders from the keys of a dataset, so that disks, archives and buckets share one code path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raytl.data.formats.skip_rules import SYSTEM, is_system, skip_reason
from raytl.errors import DataError


@dataclass(slots=True)
class Folder:
    """A folder with its `key`, the posix path below the root; `total` counts the images at any depth."""

    key: str
    folders: dict[str, Folder] = field(default_factory=dict, repr=False)
    images: list[str] = field(default_factory=list, repr=False)
    total: int = 0

    @property
    def name(self) -> str:
        """Return the last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def filled(self) -> list[Folder]:
        """Return the subfolders that contain images at any depth."""
        return [folder for folder in self.folders.values() if folder.total]

    def below(self) -> Iterator[str]:
        """Yield the keys of all images below: own images first, then folder by folder."""
        stack = [self]
        while stack:
            folder = stack.pop()
            yield from (f"{folder.key}/{name}" if folder.key else name for name in folder.images)
            stack.extend(reversed(folder.folders.values()))


def tree(keys: Iterable[str]) -> tuple[Folder, list[str]]:
    """Return the images among `keys` as a tree, and the keys of all other files; a system folder counts as one file.

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
        folder = _add(root, above, int(is_image))
        if is_image:
            folder.images.append(name)
        elif name:
            others[key] = None
    return root, list(others)


def _add(root: Folder, key: str, images: int) -> Folder:
    """Return the folder at `key`, created if absent, and add `images` to the totals of it and its parents."""
    root.total += images
    for part in key.split("/") if key else ():
        path = f"{root.key}/{part}" if root.key else part
        root = root.folders.setdefault(part, Folder(path))
        root.total += images
    return root


def _system_part(key: str) -> str:
    """Return the key up to the first system name in it; a folder ends in a slash."""
    parts = key.split("/")
    end = next(place for place, part in enumerate(parts, start=1) if is_system(part))
    return "/".join(parts[:end]) + ("/" if end < len(parts) else "")


def files_below(root: Path) -> Iterator[str]:
    """Yield the keys of all files below `root`, sorted, files of a folder first; empty folders end in a slash.

    Links to folders are followed, except cycles. System folders are yielded but not entered.

    Raises:
        DataError: a folder cannot be listed.
    """
    stack: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while stack:
        key, above = stack.pop()
        here, files, inside = _list(f"{root}/{key}")
        if here in above:
            continue
        if key and not files and not inside:
            yield key
        yield from (f"{key}{name}" for name in files)
        yield from (f"{key}{name}/" for name in inside if is_system(name))
        stack.extend((f"{key}{name}/", above | {here}) for name in reversed(inside) if not is_system(name))


def _list(path: str) -> tuple[tuple[int, int], list[str], list[str]]:
    """Return the device and inode of the folder at `path`, and the sorted names of its files and of its folders."""
    try:
        status = Path(path).stat()
        with os.scandir(path) as entries:
            children = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as exc:
        where = exc.filename or path
        raise DataError(
            f"{where}: cannot be listed ({exc.strerror}); make it readable, or move it out of the dataset"
        ) from exc
    files, folders = ([name for name, is_folder in children if is_folder == kind] for kind in (False, True))
    return (status.st_dev, status.st_ino), files, folders
