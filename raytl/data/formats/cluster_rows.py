"""Find the rows of a manifest that name images which a cluster cannot read, before a job is submitted."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations.scan import table_columns, table_paths
from raytl.data.formats import AS_FOUND, pulled_parts, tables
from raytl.data.manifest import listed
from raytl.data.unicode_names import unicode_forms
from raytl.errors import DataError, StoreError
from raytl.events import ignore
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import has_scheme, in_bucket, is_table_name

_CHECKED = 8
"""Rows whose object is requested: of rows that name files of another machine, none is there."""
_CONNECT_S = 3.0
_READABLE = {
    True: "s3:// URIs, or paths of objects relative to the manifest",
    False: "s3:// URIs, or absolute paths that exist on every node",
}


def refuse_local_rows(uri: str, annotations: AnnotationsConfig = AS_FOUND, s3: S3Settings = ENVIRONMENT) -> None:
    """Raise a DataError if a manifest names images that exist at most on this machine; other data is not read.

    A manifest on this machine is sent with the job, but not the files beside it. One in a bucket may name only objects: by URI, or
    by a path relative to itself; the existence of some is checked. It is skipped if this machine cannot read the bucket.
    """
    if not is_table_name(uri):
        return
    if in_bucket(uri):
        with suppress(StoreError):  # the cluster's credentials may read what this machine's cannot
            _refuse_in_bucket(uri, annotations, replace(s3, connect_timeout_s=min(_CONNECT_S, s3.connect_timeout_s)))
    elif not has_scheme(uri) and tables.is_table(place := Path(uri).expanduser()):
        relative = [path for path in _paths(place, annotations) if not PurePath(path.strip()).is_absolute()]
        _refuse(uri, relative, "relative to the manifest")


def _refuse_in_bucket(uri: str, annotations: AnnotationsConfig, s3: S3Settings) -> None:
    folder, place, _, _ = pulled_parts(uri, ignore, s3)
    paths, store = _paths(place, annotations), open_store(folder, s3)
    _refuse(uri, [path for path in paths if not tables.is_inside(path)], "outside the folder of the manifest")
    some = paths[:: max(1, len(paths) // _CHECKED)][:_CHECKED]
    _refuse(uri, [path for path in some if not _exists(store, path)], f"without an object below {store.uri}")


def _paths(place: Path, annotations: AnnotationsConfig) -> list[str]:
    """Return the paths that are not URIs; the scan of the job reports empty ones."""
    columns = table_columns(place, annotations)
    table = table_paths(place, columns) if columns else tables.read(place, labeled=False)
    return [path for path in table.rows.paths if path.strip() and not has_scheme(path)]


def _exists(store: ObjectStore, path: str) -> bool:
    names = {os.path.normpath(spelling) for spelling in (path, path.strip(), path.strip().replace("\\", "/"))}
    return any(store.exists(form) for name in names for form in unicode_forms(name))


def _refuse(uri: str, paths: list[str], where: str) -> None:
    if paths:
        raise DataError(
            f"{uri}: rows name images {where}, which a cluster cannot read:\n{listed([repr(path) for path in paths], 3)}\n"
            f"expected {_READABLE[in_bucket(uri)]}. Upload the images, and name them so in the manifest."
        )
