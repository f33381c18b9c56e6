"""List the photos that a user names by folders, manifests and files, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats import tables
from raytl.data.formats.key_tree import files_below, tree
from raytl.data.formats.skip_rules import by_reason, left_out
from raytl.errors import DataError
from raytl.evaluation.bucket_inputs import photos_at
from raytl.home import expanded
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket


def photos(
    inputs: Sequence[str | Path],
    on_left_out: Callable[[str, str], None] = lambda *_: None,
    s3: S3Settings = ENVIRONMENT,
) -> tuple[str, ...]:
    """Return the paths or s3:// URIs of all photos; see `photos_with_etags`."""
    return tuple(photos_with_etags(inputs, on_left_out, s3))


def photos_with_etags(
    inputs: Sequence[str | Path],
    on_left_out: Callable[[str, str], None] = lambda *_: None,
    s3: S3Settings = ENVIRONMENT,
) -> dict[str, str]:
    """Return the paths or s3:// URIs of all photos, with the etags of those that were listed in a bucket. Folders are searched to any depth by extension, as in training.

    A .csv, .tsv, .parquet or .jsonl file is a manifest; its `path` column is relative to its folder. Any other file
    counts as a photo, whatever its name. `on_left_out` is called with the path of each skipped file of a folder and the
    reason.

    Raises:
        DataError: inputs that do not exist or hold no photos, and manifests that cannot be read; all at once.
    """
    paths: dict[str, str] = {}
    problems: list[str] = []
    for each in inputs:
        try:
            if in_bucket(each):
                paths |= photos_at(str(each), on_left_out, s3)
            else:
                paths |= dict.fromkeys(_photos_in(expanded(each), str(each), on_left_out), "")
        except DataError as error:
            problems.append(str(error))
    if not inputs:
        problems.append("no input; expected folders, manifests or photos")
    if problems:
        raise DataError("\n".join(problems))
    return paths


def _photos_in(path: Path, given: str, on_left_out: Callable[[str, str], None]) -> list[str]:
    if tables.is_table(path):
        return _listed(path)
    if path.is_dir():
        return _photos_below(path, given, on_left_out)
    if not path.exists():
        raise DataError(f"{given}: no such file or folder; expected a folder, a manifest or a photo")
    return [str(path)]


def _photos_below(folder: Path, given: str, on_left_out: Callable[[str, str], None]) -> list[str]:
    root, others = tree(files_below(folder))
    if not root.total:
        raise DataError(
            "\n".join(
                [
                    f"{given}: no photos in this folder; expected files of {', '.join(sorted(IMAGE_SUFFIXES))}",
                    *left_out(others),
                ]
            )
        )
    for reason, keys in by_reason(others).items():
        for key in keys:
            on_left_out(str(folder / key), reason)
    return [str(folder / key) for key in root.below()]


def _listed(place: Path) -> list[str]:
    names = tables.paths_in(tables.read(place, labeled=False))
    if not names:
        raise DataError(f"{place}: the manifest names no photos; expected one in each row's `path`")
    return names
