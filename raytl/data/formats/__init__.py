"""From a URI to a manifest: one `scan` for each layout that people have their images in, chosen here."""

from __future__ import annotations

from pathlib import Path

from raytl.data.formats import folders, tables
from raytl.data.manifest import Manifest
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.sync import pull

_LAYOUTS = "a folder (or s3:// prefix) of class folders, or a .csv, .tsv, .parquet or .jsonl manifest"


def scan(uri: str, on_event: OnEvent = ignore) -> Manifest:
    """The samples that `uri` holds; an s3:// URI is first pulled into the node's cache.

    Raises:
        DataError: nothing is there, or the layout is wrong; every problem is listed.
        StoreError: the bucket cannot be read.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _scan_local(uri, Path(uri).expanduser())
    if scheme == "file":
        return _scan_local(uri, Path(rest))
    if scheme == "s3":
        return _scan_remote(uri, on_event)
    raise DataError(f"data.uri {uri!r}: scheme {scheme}:// is not known; expected {_LAYOUTS}")


def _scan_local(uri: str, path: Path) -> Manifest:
    if path.is_dir():
        return folders.scan(path.resolve(), uri)
    if not path.exists():
        raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
    if path.suffix.lower() in tables.READERS:
        return tables.scan(path.parent.resolve() / path.name, uri)
    raise DataError(f"data.uri {uri!r}: {path.name} is neither a folder nor a known manifest; expected {_LAYOUTS}")


def _scan_remote(uri: str, on_event: OnEvent) -> Manifest:
    """A prefix is pulled whole; of a manifest's folder only the manifest and the files that it names."""
    if Path(uri).suffix.lower() not in tables.READERS:
        return folders.scan(pull(uri, on_event), uri)
    folder, name = uri.rsplit("/", 1)
    table = pull(folder, on_event, only=[name]) / name
    pull(folder, on_event, only=[name, *tables.keys_in(table)])
    return tables.scan(table, uri)
