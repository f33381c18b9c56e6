"""Scan a URI into a manifest: detect the layout of the images and call its `scan`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from raytl.data.formats import archives, folders, shards, tables
from raytl.data.formats.key_tree import files_below
from raytl.data.manifest import Manifest
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.contract import ObjectInfo
from raytl.store.open import open_store
from raytl.store.retry import retried
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import listing, pull
from raytl.uris import bucket_and_key, has_scheme, in_bucket, is_archive_name, is_table_name

_LAYOUTS = (
    "a folder (or s3:// prefix) of class folders or of WebDataset shards (.tar), a .zip or .tar archive of class folders, "
    "or a .csv, .tsv, .parquet or .jsonl manifest"
)


def scan(
    uri: str,
    on_event: OnEvent = ignore,
    stream: bool = False,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
) -> Manifest:
    """Return the samples at `uri`; an s3:// URI is first pulled into the node's cache unless `stream` is set.
    `zip_encoding` is the encoding of names in a zip that does not declare it.

    Raises:
        DataError: nothing exists there, or the layout is wrong; all problems are listed.
        StoreError: the bucket cannot be read.
    """
    scheme, separator, rest = uri.partition("://")
    if stream and not names_objects(uri):
        raise DataError(f"data.stream: {uri!r} is on this machine; expected an s3:// URI. Set data.stream to false")
    if stream:
        return _scan_streamed(uri, on_event, s3)
    if not separator:
        return _scan_local(uri, Path(uri).expanduser(), on_event, zip_encoding, s3)
    if scheme == "file":
        return _scan_local(uri, Path(rest), on_event, zip_encoding, s3)
    if scheme == "s3":
        return _scan_remote(uri, on_event, zip_encoding, s3)
    raise DataError(f"data.uri {uri!r}: unknown scheme {scheme}://; expected {_LAYOUTS}")


def _scan_local(uri: str, path: Path, on_event: OnEvent, zip_encoding: str | None, s3: S3Settings) -> Manifest:
    if tables.is_table(path):
        return _scan_table(uri, tables.read(path.parent.resolve() / path.name, on_event=on_event), on_event, s3)
    if path.is_dir():
        return _scan_folder(uri, path.resolve(), on_event)
    if not path.exists():
        raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
    if is_archive_name(path.name):
        return archives.scan(path, uri, on_event, zip_encoding)
    raise DataError(f"data.uri {uri!r}: {path.name} is neither a folder nor a known manifest; expected {_LAYOUTS}")


def _scan_folder(uri: str, folder: Path, on_event: OnEvent) -> Manifest:
    packed, beside = archives.shards_in(folder, uri)
    if packed:
        return archives.scan_shards(packed, beside, folder, uri, on_event)
    return folders.scan(files_below(folder), str(folder), uri)


def _scan_remote(uri: str, on_event: OnEvent, zip_encoding: str | None, s3: S3Settings) -> Manifest:
    """Pull and scan a whole prefix, a single archive, or a manifest with the files that it references."""
    folder, _, name = uri.rpartition("/")
    if is_archive_name(name):
        return archives.scan(pull(folder, on_event, only=[name], s3=s3) / name, uri, on_event, zip_encoding)
    if not is_table_name(uri):
        return _scan_folder(uri, pull(uri, on_event, s3=s3), on_event)
    folder, keys, table = pulled_table(uri, on_event, s3=s3)
    pull(folder, on_event, only=[*keys, *tables.keys_in(table)], s3=s3)
    return _scan_table(uri, table, on_event, s3)


def pulled_table(
    uri: str, on_event: OnEvent = ignore, *, labeled: bool = True, s3: S3Settings = ENVIRONMENT
) -> tuple[str, list[str], tables.Table]:
    """Fetch a table; return the URI of its folder, its keys there (one, or those of its parts), and the table.

    Raises:
        DataError: see `tables.read`.
        StoreError: the bucket cannot be read.
    """
    folder, _, name = uri.rstrip("/").rpartition("/")
    store = open_store(folder, s3)
    existing = [info.key for info in retried(lambda: list(store.list(name)))]
    prefix = f"{name}/"
    inside = [key.removeprefix(prefix) for key in existing if key.startswith(prefix)]
    parts = [] if name in existing else tables.parts_among(inside, uri)
    keys = [prefix + part for part in parts] or [name]
    return folder, keys, tables.read(pull(folder, on_event, only=keys, s3=s3) / name, parts, labeled=labeled)


def _scan_table(uri: str, table: tables.Table, on_event: OnEvent, s3: S3Settings) -> Manifest:
    """Pull the objects that a manifest references in any bucket, then scan it."""
    places: dict[str, str] = {}
    for bucket, keys in _by_bucket(tables.uris_in(table)).items():
        folder = pull(bucket, on_event, only=keys, s3=s3)
        places |= {f"{bucket}/{key}": str(folder / key) for key in keys}
    return tables.scan(table, uri, places, on_event=on_event)


def is_packed(uri: str, s3: S3Settings = ENVIRONMENT) -> bool:
    """Return whether the images are in archives: `uri` itself, or shards below it."""
    if is_archive_name(uri):
        return True
    if is_table_name(uri):
        return False
    return bool(shards.shards_among((info.key for info in listing(open_store(uri, s3))), uri)[0])


def _scan_streamed(uri: str, on_event: OnEvent, s3: S3Settings) -> Manifest:
    """Return the samples without pulling them, from a listing; of a manifest, only the table is pulled."""
    if is_table_name(uri):
        return _scan_streamed_table(uri, on_event, s3)
    if is_archive_name(uri):
        raise DataError(
            f"data.stream: {uri} is an archive, which cannot be streamed; expected class folders, shards or a manifest. "
            "Unpack it in the bucket, or set data.stream to false"
        )
    store = open_store(uri, s3)
    infos = listing(store, on_event=on_event)
    packed, beside = shards.shards_among((info.key for info in infos), uri)
    if packed:
        keys = set(packed)
        return shards.scan(store, [info for info in infos if info.key in keys], beside, uri, on_event)
    objects = {f"{store.uri}/{info.key}": info for info in infos}
    manifest = folders.scan((info.key for info in infos), store.uri, uri)
    return replace(manifest, objects={sample.path: objects[sample.path] for sample in manifest.samples})


def _scan_streamed_table(uri: str, on_event: OnEvent, s3: S3Settings) -> Manifest:
    """Scan a manifest of streamed objects: one in a bucket, with objects beside it, or one on this machine, with URIs."""
    if in_bucket(uri):
        place, _, table = pulled_table(uri, on_event, s3=s3)
        folder, inside = open_store(place, s3).uri, tables.keys_in(table)
    else:
        path = Path(uri).expanduser().absolute()
        if not tables.is_table(path):
            raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
        folder, table, inside = "", tables.read(path), []
    elsewhere = tables.uris_in(table)
    objects: dict[str, ObjectInfo] = {}
    for root, keys in {folder: inside, **_by_bucket(elsewhere)}.items():
        if keys:
            objects |= {f"{root}/{info.key}": info for info in listing(open_store(root, s3), keys, on_event)}
    beside = {key: place for key in inside if (place := f"{folder}/{key}") in objects}
    places = beside | {named: named for named in elsewhere}
    return tables.scan(table, uri, places, objects, on_event)


def names_objects(uri: str) -> bool:
    """Return whether samples are objects in buckets: below an s3:// URI, or listed in a manifest on this machine."""
    if in_bucket(uri):
        return True
    path = Path(uri).expanduser()
    return not has_scheme(uri) and tables.is_table(path) and bool(tables.uris_in(tables.read(path, labeled=False)))


def _by_bucket(uris: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of these URIs by bucket, as s3://bucket."""
    keys: dict[str, list[str]] = {}
    for uri in uris:
        bucket, key = bucket_and_key(uri)
        keys.setdefault(f"s3://{bucket}", []).append(key)
    return keys
