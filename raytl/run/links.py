"""A folder's files under a second name, so that they stay when the folder is replaced."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from raytl.disk import writing


def held_as(folder: Path, held: Path) -> None:
    """Have the files of `folder`, as they are now, under another name too: they stay when the folder is replaced."""
    with writing(held):
        shutil.copytree(folder, held, copy_function=_linked)


def identity_of(folder: Path) -> list[int]:
    """Another one after the folder was replaced."""
    status = folder.stat()
    return [status.st_ino, status.st_mtime_ns]


def _linked(source: str, target: str) -> None:
    """A link, or a copy where the file system knows none."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
