"""From a URI to a manifest: one `scan` for each layout that people have their images in, chosen here."""

from __future__ import annotations

from pathlib import Path

from raytl.data.formats import archives, folders, tables
from raytl.data.manifest import Manifest
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.sync import pull

_LAYOUTS = (
    "a folder (or s3:// prefix) of class folders or of WebDataset shards (.tar), a .zip or .tar archive of class folders, "
    "or a .csv, .tsv, .parquet or .jsonl manifest"
)


def scan(uri: str, on_event: OnEvent = ignore) -> Manifest:
    """The samples that `uri` holds; an s3:// URI is first pulled into the node's cache.

    Raises:
        DataError: nothing is there, or the layout is wrong; every problem is listed.
        StoreError: the bucket cannot be read.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _scan_local(uri, Path(uri).expanduser(), on_event)
    if scheme == "file":
        return _scan_local(uri, Path(rest), on_event)
    if scheme == "s3":
        return _scan_remote(uri, on_event)
    raise DataError(f"data.uri {uri!r}: scheme {scheme}:// is not known; expected {_LAYOUTS}")


def _scan_local(uri: str, path: Path, on_event: OnEvent) -> Manifest:
    if path.is_dir():
        return _scan_folder(uri, path.resolve(), on_event)
    if not path.exists():
        raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
    if path.suffix.lower() in tables.READERS:
        return _scan_table(uri, path.parent.resolve() / path.name, on_event)
    if archives.is_archive(path.name):
        return archives.scan(path, uri, on_event)
    raise DataError(f"data.uri {uri!r}: {path.name} is neither a folder nor a known manifest; expected {_LAYOUTS}")


def _scan_folder(uri: str, folder: Path, on_event: OnEvent) -> Manifest:
    shards = archives.shards_in(folder)
    return archives.scan_shards(shards, folder, uri, on_event) if shards else folders.scan(folder, uri)


def _scan_remote(uri: str, on_event: OnEvent) -> Manifest:
    """A prefix is pulled whole; of an archive's folder only that, of a manifest's that and the files that it names."""
    folder, _, name = uri.rpartition("/")
    if archives.is_archive(name):
        return archives.scan(pull(folder, on_event, only=[name]) / name, uri, on_event)
    if Path(uri).suffix.lower() not in tables.READERS:
        return _scan_folder(uri, pull(uri, on_event), on_event)
    table = pull(folder, on_event, only=[name]) / name
    pull(folder, on_event, only=[name, *tables.keys_in(table)])
    return _scan_table(uri, table, on_event)


def _scan_table(uri: str, table: Path, on_event: OnEvent) -> Manifest:
    """A manifest may name objects of any bucket: those are pulled first."""
    keys: dict[str, list[str]] = {}
    for named in tables.uris_in(table):
        bucket, _, key = named.removeprefix("s3://").partition("/")
        keys.setdefault(bucket, []).append(key)
    places: dict[str, Path] = {}
    for bucket, wanted in keys.items():
        folder = pull(f"s3://{bucket}", on_event, only=wanted)
        places |= {f"s3://{bucket}/{key}": folder / key for key in wanted}
    return tables.scan(table, uri, places)
