"""From what a user names (folders, manifests, single files) to the photos in it, each once."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from raytl.config.home import expanded
from raytl.data.decode import IMAGE_SUFFIXES
from raytl.errors import DataError
from raytl.evaluation.bucket_inputs import photos_at
from raytl.store.open import in_bucket

_TABLES = {".csv", ".tsv", ".parquet", ".jsonl"}


def photos(inputs: Sequence[str | Path], on_left_out: Callable[[str, str], None] = lambda *_: None) -> tuple[str, ...]:
    """The paths of all photos, or their s3:// URIs: folders are searched to any depth by extension, hidden files passed over.

    A .csv, .tsv, .parquet or .jsonl file is a manifest whose `path` column counts, relative to its folder. Any other
    file is taken as a photo, whatever it is called.

    Raises:
        DataError: inputs that do not exist or hold no photos, and manifests that cannot be read; all of them.
    """
    found: dict[str, None] = {}
    problems: list[str] = []
    for each in inputs:
        try:
            named = (
                photos_at(str(each), _listed, on_left_out) if in_bucket(each) else _photos_in(expanded(each), str(each))
            )
            found.update(dict.fromkeys(named))
        except DataError as error:
            problems.append(str(error))
    if not inputs:
        problems.append("no input named; expected folders, manifests or photos")
    if problems:
        raise DataError("\n".join(problems))
    return tuple(found)


def _photos_in(path: Path, said: str) -> list[str]:
    if path.is_dir():
        inside = list(_below(path))
        if not inside:
            raise DataError(f"{said}: no photos in this folder; expected files of {', '.join(sorted(IMAGE_SUFFIXES))}")
        return inside
    if not path.exists():
        raise DataError(f"{said}: nothing is there; expected a folder, a manifest or a photo")
    return _listed(path) if path.suffix.lower() in _TABLES else [str(path)]


def _below(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield str(Path(root) / name)


def _listed(table: Path) -> list[str]:
    try:
        cells = list(_path_cells(table))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"{table}: cannot be read as a manifest ({type(error).__name__}: {error}); expected a `path` column"
        ) from error
    named = [str(table.parent / str(cell)) for cell in cells if cell]
    if not named:
        raise DataError(f"{table}: the manifest names no photos; expected one in each row's `path`")
    return named


def _path_cells(table: Path) -> Iterator[Any]:
    if table.suffix.lower() == ".parquet":
        import pyarrow.parquet

        yield from pyarrow.parquet.read_table(table, columns=["path"]).column("path").to_pylist()
    elif table.suffix.lower() == ".jsonl":
        lines = table.read_text(encoding="utf-8-sig").split("\n")
        yield from (json.loads(line)["path"] for line in lines if line.strip())
    else:
        yield from _csv_cells(table)


def _csv_cells(table: Path) -> Iterator[str]:
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        head = file.readline()
        delimiter = max(",;\t", key=head.count)
        header = [name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter), [])]
        place = header.index("path")
        yield from (row[place] for row in csv.reader(file, delimiter=delimiter) if len(row) > place)
