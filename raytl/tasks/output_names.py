"""Name the output file of each photo: the photo's path below the folder that all photos share, with another ending. Pure.

No two photos have one name, on any file system, and no name leaves the output folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from raytl.data.unicode_names import nfc
from raytl.uris import in_bucket

_NAME_BYTES = 240


def output_names(paths: Sequence[str], ending: str) -> list[str]:
    """Return a relative path that ends in `ending` for each of the photos (files or URIs), in their order.

    `a/1.jpg` becomes `a/1.txt`; where another photo took that name, the photo's ending stays (`a/1.png.txt`), or a number
    is added.
    """
    relative = [PurePosixPath(each) for each in relative_paths(paths)]
    taken = {_folded(parent) for path in relative for parent in path.parents}
    names = []
    for path in relative:
        stem = path.with_name(_bounded(path.stem if path.stem.strip(".") else path.name))  # `..jpg` has no stem
        whole = path.with_name(_bounded(path.name))
        candidates = (stem, whole, *(whole.with_name(f"{whole.name}-{n}") for n in range(2, len(paths) + 2)))
        free = (each.with_name(each.name + ending) for each in candidates)
        name = next(each for each in free if _folded(each) not in taken)
        taken.add(_folded(name))
        names.append(str(name))
    return names


def relative_paths(paths: Sequence[str]) -> list[str]:
    """Return the paths below the folder that all of them share; parts that would leave it become `_`."""
    split = [_parts(path) for path in paths]
    folders = [parts[:-1] for parts in split]
    first, last = min(folders, default=[]), max(folders, default=[])  # what these two share, all share
    shared = next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return ["/".join(parts[shared:]) for parts in split]


def _parts(path: str) -> list[str]:
    """Return the folders and the name of a file or URI."""
    whole = path if in_bucket(path) else os.path.normpath(Path(path).absolute())
    parts = [part for part in whole.split("/") if part] or ["_"]
    return ["_" if part in (".", "..") else part.replace("\0", "_") for part in parts]


def _bounded(name: str) -> str:
    """Return the name, or the beginning of a long one with a digest, so that an ending fits."""
    coded = os.fsencode(name)
    if len(coded) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(coded).hexdigest()[:8]
    return f"{coded[: _NAME_BYTES - 9].decode(errors='ignore')}-{digest}"


def _folded(path: PurePosixPath) -> str:
    """Return the path as file systems compare it that ignore case and the form of Unicode."""
    return nfc(str(path)).casefold()
