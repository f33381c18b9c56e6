"""List the images of a source without labels: a folder, a prefix in a bucket, an archive, shards, or a manifest.

Images lie at any depth. Names of folders and columns of labels are ignored; a column of splits says which rows are a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from raytl.data.decode import IMAGE_SUFFIXES
from raytl.data.formats import archives, pulled_parts, tables
from raytl.data.formats.key_tree import files_below
from raytl.data.formats.skip_rules import left_out, skip_reason
from raytl.data.formats.split_folders import read_name
from raytl.data.manifest import Manifest, Sample
from raytl.data.sample_table import SampleTable
from raytl.data.unicode_names import nfc
from raytl.errors import DataError
from raytl.events import OnEvent, ignore
from raytl.store.open import open_store
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.store.sync import listing, pull
from raytl.uris import bucket_and_key, has_scheme, in_bucket, is_archive_name, is_table_name, local_path

_Places = Iterator[tuple[str, str]]
"""The key and the place of each image."""


def scan_unlabelled(
    uri: str,
    key: str,
    on_event: OnEvent = ignore,
    *,
    stream: bool = False,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
) -> Manifest:
    """Return the images of the source `uri` that `key` of the experiment names: training images without a target, each key
    once behind `<key>:`; rows of a manifest whose split is test have that split. With `stream`, images below a prefix stay in the bucket; all others are pulled.

    Raises:
        DataError: nothing is there, there are no images, or an archive or a manifest cannot be read.
        StoreError: the bucket cannot be read.
    """
    where = f"{key}: {uri}"
    others: list[str] = []
    tests: set[str] = set()
    objects = {}
    if is_table_name(uri):
        images = _in_table(uri, where, on_event, s3, tests)
    elif in_bucket(uri) and stream and not is_archive_name(uri):
        store = open_store(uri, s3)
        listed = {f"{store.uri}/{info.key}": info for info in listing(store, on_event=on_event)}
        images = _images(((info.key, place) for place, info in listed.items()), others)
        objects = listed
    else:
        images = _below(_root(uri, where, on_event, zip_encoding, s3), uri, on_event, others)
    places = {nfc(name): place for name, place in images}
    samples = [
        Sample(f"{key}:{name}", place, None, "test" if name in tests else "train") for name, place in places.items()
    ]
    if not samples:
        expected = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError("\n".join([f"{where}: no images found; expected files of {expected}", *left_out(others)]))
    table = SampleTable.of(samples).by_key()
    return Manifest(
        where, table, (), tuple(sorted(others)), (), {path: objects[path] for path in table.paths if path in objects}
    )


def _root(uri: str, where: str, on_event: OnEvent, zip_encoding: str | None, s3: S3Settings) -> Path:
    """Return the folder on this node that holds the images: of an archive, that with its content."""
    if in_bucket(uri):
        folder, _, name = uri.rstrip("/").rpartition("/")
        if not is_archive_name(name):
            return pull(uri, on_event, s3=s3)
        place = pull(folder, on_event, only=[name], s3=s3) / name
    elif has_scheme(uri) and not uri.startswith("file://"):
        raise DataError(f"{where}: unknown scheme; expected a folder, an s3:// prefix, an archive or a manifest")
    else:
        place = local_path(uri).expanduser().resolve()
    if place.is_file() and is_archive_name(place.name):
        return archives.unpacked(place, uri, on_event, zip_encoding)[0]
    if not place.is_dir():
        raise DataError(
            f"{where}: no such folder; expected a folder, an s3:// prefix, an archive or a manifest of images"
        )
    return place


def _below(root: Path, uri: str, on_event: OnEvent, others: list[str]) -> _Places:
    """Yield the images below a folder, and those of its tar shards."""
    shards, _ = archives.shards_in(root, uri)
    for shard in shards:
        inside, name = archives.unpacked(shard, uri, on_event)[0], shard.relative_to(root).as_posix()
        yield from _images(((f"{name}/{key}", f"{inside}/{key}") for key in files_below(inside)), others)
    if not shards:
        yield from _images(((key, f"{root}/{key}") for key in files_below(root)), others)


def _images(files: Iterable[tuple[str, str]], others: list[str]) -> _Places:
    """Yield the files that are images, and append the keys of all others."""
    for key, place in files:
        if skip_reason(key):
            others.append(key)
        else:
            yield key, place


def _in_table(uri: str, where: str, on_event: OnEvent, s3: S3Settings, tests: set[str]) -> _Places:
    """Yield the images that the `path` column of a manifest names, and add the keys of those whose split is test to `tests`; one
    from a bucket names only objects of buckets."""
    if in_bucket(uri):
        folder, place, keys, parts = pulled_parts(uri, on_event, s3)
        table = tables.read(place, parts, labeled=False)
        pull(folder, on_event, only=[*keys, *tables.keys_in(table)], s3=s3)
    elif tables.is_table(local := local_path(uri).expanduser()):
        table = tables.read(local.parent.resolve() / local.name, labeled=False)
    else:
        raise DataError(
            f"{where}: no such manifest; expected a .csv, .tsv, .parquet or .jsonl table with a column path"
        )
    places = _pulled(tables.uris_in(table), on_event, s3)
    for path, split in zip(tables.paths_in(table), table.rows.splits, strict=True):
        is_object = in_bucket(path)
        name = path.partition("://")[2] if is_object else Path(os.path.relpath(path, table.folder)).as_posix()
        if read_name(split).split == "test":
            tests.add(nfc(name))
        if is_object:
            yield name, places.get(path, path)
            continue
        if in_bucket(uri) and not tables.is_inside(name):
            raise DataError(
                f"{where}: {name!r} is outside the manifest's folder; expected paths below it, or s3:// URIs"
            )
        yield name, path


def _pulled(uris: Iterable[str], on_event: OnEvent, s3: S3Settings) -> dict[str, str]:
    """Pull objects of any buckets; return their files on this node by URI."""
    keys: dict[str, list[str]] = {}
    for uri in uris:
        bucket, key = bucket_and_key(uri)
        keys.setdefault(bucket, []).append(key)
    folders = {bucket: pull(f"s3://{bucket}", on_event, only=own, s3=s3) for bucket, own in keys.items()}
    return {f"s3://{bucket}/{key}": f"{folders[bucket]}/{key}" for bucket, own in keys.items() for key in own}
