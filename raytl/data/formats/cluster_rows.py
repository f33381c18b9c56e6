"""Find the rows of a manifest that name images which a cluster cannot read, before a job is submitted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePath

from raytl.config.annotations import AnnotationsConfig
from raytl.data.annotations.scan import table_columns, table_paths
from raytl.data.formats import AS_FOUND, pulled_parts, tables
from raytl.data.manifest import listed
from raytl.data.unicode_names import unicode_forms
from raytl.errors import DataError, StoreError
from raytl.events import Message, OnEvent, ignore
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


def refuse_local_rows(
    uri: str,
    annotations: AnnotationsConfig = AS_FOUND,
    s3: S3Settings = ENVIRONMENT,
    on_event: OnEvent = ignore,
) -> None:
    """Raise a DataError if a manifest names images that exist at most on this machine; other data is not read.

    A manifest on this machine is sent with the job, but not the files beside it. One in a bucket may name only objects: by URI, or
    by a path relative to itself; the existence of some is checked. If this machine cannot read the bucket, that is reported.
    """
    if not is_table_name(uri):
        return
    if in_bucket(uri):
        try:
            near = replace(s3, connect_timeout_s=min(_CONNECT_S, s3.connect_timeout_s))
            _refuse_in_bucket(uri, annotations, near, on_event)
        except StoreError as exc:  # the cluster's credentials may read what this machine's cannot
            on_event(Message(f"the rows of {uri} are not checked, as this machine cannot read it: {exc}", "warning"))
    elif not has_scheme(uri) and tables.is_table(place := Path(uri).expanduser()):
        relative = [path for path in _paths(place, annotations) if not PurePath(path.strip()).is_absolute()]
        _refuse(uri, relative, "relative to the manifest")


def _refuse_in_bucket(uri: str, annotations: AnnotationsConfig, s3: S3Settings, on_event: OnEvent) -> None:
    folder, _, name = uri.rstrip("/").rpartition("/")
    store = open_store(folder, s3)
    store.exists(name)  # a store that cannot be reached is not retried for a minute
    paths = _paths(pulled_parts(uri, on_event, s3)[1], annotations)
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
