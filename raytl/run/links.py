"""Hard-link the files of a folder, so that they survive its replacement."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from raytl.disk import writing


def link_tree(folder: Path, held: Path) -> None:
    """Hard-link the files of `folder` into a new folder `held`; they survive a replacement of `folder`."""
    with writing(held):
        shutil.copytree(folder, held, copy_function=_linked)


def identity_of(folder: Path) -> list[int]:
    """Return numbers that change if the folder is replaced."""
    status = folder.stat()
    return [status.st_ino, status.st_mtime_ns]


def _linked(source: str, target: str) -> None:
    """Create a hard link, or a copy if the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
