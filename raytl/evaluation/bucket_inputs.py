"""List the URIs of the photos that a URI names in a bucket: a prefix, a manifest or one photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats import pulled_table, tables
from raytl.data.formats.skip_rules import left_out, skip_reason
from raytl.data.manifest import listed
from raytl.errors import DataError, NotFound
from raytl.store.keys import files_and_markers
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import in_bucket, is_table_name


def photos_at(uri: str, on_left_out: Callable[[str, str], None], s3: S3Settings = ENVIRONMENT) -> dict[str, str]:
    """Return the URIs of the photos that `uri` names with their etags, empty where a manifest names them; photos stay in the
    bucket, and a manifest's table is fetched.

    `on_left_out` is called with the URI of each other object and the reason.

    Raises:
        DataError: nothing is there, the prefix holds no photos, or a manifest names files outside its folder.
        StoreError: the bucket cannot be read.
    """
    root = uri.rstrip("/")
    if is_table_name(root):
        _, _, table = pulled_table(root, labeled=False, s3=s3)
        return dict.fromkeys(_as_uris(root, table.folder, tables.paths_in(table)), "")
    store = open_store(root, s3)
    objects, markers = files_and_markers(retried(lambda: list(store.list(markers=True))))
    if not objects:
        return _one(root, s3)
    for key in markers:
        on_left_out(f"{root}/{key}", "folder markers")
    others = [info.key for info in objects if skip_reason(info.key)]
    if len(others) == len(objects):
        expected = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError("\n".join([f"{uri}: no photos below this prefix; expected {expected}", *left_out(others)]))
    for key in others:
        on_left_out(f"{root}/{key}", skip_reason(key))
    return {f"{root}/{info.key}": info.etag for info in objects if not skip_reason(info.key)}


def _one(uri: str, s3: S3Settings) -> dict[str, str]:
    """Return `uri` with its etag if it names an object."""
    folder, _, name = uri.rpartition("/")
    try:
        if in_bucket(folder):
            return {uri: open_store(folder, s3).stat(name).etag}
    except NotFound:
        pass
    raise DataError(f"{uri}: no such object; expected a prefix, a manifest or a photo in the bucket")


def _as_uris(uri: str, local: Path, names: Sequence[str]) -> list[str]:
    """Return the objects that a table names: in its folder, or anywhere by URI, but never a file of this machine."""
    folder, inside = uri.rpartition("/")[0], f"{local}/"
    outside = [
        name for name in names if not in_bucket(name) and (not name.startswith(inside) or ".." in name.split("/"))
    ]
    if outside:
        raise DataError(
            f"{uri}: {len(outside)} paths lie outside the manifest's folder; expected paths below it, or s3:// URIs:\n"
            f"{listed(outside)}"
        )
    return [name if in_bucket(name) else f"{folder}/{name.removeprefix(inside)}" for name in names]
