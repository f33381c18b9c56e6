"""From what a user names (folders, manifests, single files) to the photos in it, each once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats import tables
from raytl.errors import DataError


def photos(inputs: Sequence[str | Path]) -> tuple[str, ...]:
    """The paths of all photos: folders are searched to any depth by extension, hidden files passed over.

    A .csv, .tsv, .parquet or .jsonl file is a manifest whose `path` column counts, relative to its folder. Any other
    file is taken as a photo, whatever it is called.

    Raises:
        DataError: inputs that do not exist or hold no photos, and manifests that cannot be read; all of them.
    """
    found: dict[str, None] = {}
    problems: list[str] = []
    for each in inputs:
        try:
            found.update(dict.fromkeys(_photos_in(Path(each).expanduser(), str(each))))
        except DataError as error:
            problems.append(str(error))
    if not inputs:
        problems.append("no input named; expected folders, manifests or photos")
    if problems:
        raise DataError("\n".join(problems))
    return tuple(found)


def _photos_in(path: Path, said: str) -> list[str]:
    if tables.is_table(path):
        return _listed(path)
    if path.is_dir():
        inside = list(_below(path))
        if not inside:
            raise DataError(f"{said}: no photos in this folder; expected files of {', '.join(sorted(IMAGE_SUFFIXES))}")
        return inside
    if not path.exists():
        raise DataError(f"{said}: nothing is there; expected a folder, a manifest or a photo")
    return [str(path)]


def _below(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield str(Path(root) / name)


def _listed(place: Path) -> list[str]:
    named = tables.paths_in(tables.read(place, labelled=False))
    if not named:
        raise DataError(f"{place}: the manifest names no photos; expected one in each row's `path`")
    return named
