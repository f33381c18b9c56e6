"""Scan a URI into a manifest: detect the layout of the images and call its `scan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from raytl.config.annotations import AnnotationsConfig
from raytl.config.schema import ColumnRole
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

AS_FOUND = AnnotationsConfig()
"""Annotations in the format that is found, with the default rules."""
NO_COLUMNS: Mapping[str, ColumnRole] = {}
"""No columns that describe the images."""
_LAYOUTS = (
    "a folder (or s3:// prefix) of class folders or of WebDataset shards (.tar), a .zip or .tar archive of class folders, "
    "or a .csv, .tsv, .parquet or .jsonl manifest; or images annotated as COCO, Pascal VOC, YOLO, LabelMe or mask images"
)


def scan(
    uri: str,
    on_event: OnEvent = ignore,
    stream: bool = False,
    zip_encoding: str | None = None,
    s3: S3Settings = ENVIRONMENT,
    annotations: AnnotationsConfig = AS_FOUND,
    prefer: tuple[type, ...] = (),
    columns: Mapping[str, ColumnRole] = NO_COLUMNS,
    votes: Sequence[str] = (),
) -> Manifest:
    """Return the samples at `uri`; an s3:// URI is first pulled into the node's cache unless `stream` is set.
    `zip_encoding` is the encoding of names in a zip that does not declare it. `prefer` are the types of target that the task
    accepts, the best first: they choose between class folders, boxes and masks that lie in one place. `columns` are those of
    a manifest that describe its images (`data.columns`). `votes` are those that have labels of several sources (`labels.columns`): an
    image without a label has the first of them.

    Raises:
        DataError: nothing exists there, or the layout or a column is wrong; all problems are listed.
        StoreError: the bucket cannot be read.
    """
    if columns and not is_table_name(uri):
        raise DataError(
            f"data.columns: {uri!r} has no columns; expected a .csv, .tsv, .parquet or .jsonl manifest. Remove data.columns, "
            "or list the images in such a table"
        )
    manifest = _scanned(uri, stream, _How(on_event, zip_encoding, s3, annotations, prefer, tuple(votes)))
    if not columns:
        return manifest
    from raytl.data.formats.manifest_columns import with_columns  # it reads tables with this package

    return with_columns(manifest, table_place(uri, on_event, s3), columns)


def table_place(uri: str, on_event: OnEvent = ignore, s3: S3Settings = ENVIRONMENT) -> Path:
    """Return where the table at `uri` is on this node, after pulling it."""
    return pulled_parts(uri, on_event, s3)[1] if in_bucket(uri) else Path(uri.removeprefix("file://")).expanduser()


def _scanned(uri: str, stream: bool, how: _How) -> Manifest:
    """Return the samples at `uri`, without the values of columns."""
    scheme, separator, rest = uri.partition("://")
    if stream and not names_objects(uri):
        raise DataError(f"data.stream: {uri!r} is on this machine; expected an s3:// URI. Set data.stream to false")
    if stream:
        return _scan_streamed(uri, how)
    if not separator:
        return _scan_local(uri, Path(uri).expanduser(), how)
    if scheme == "file":
        return _scan_local(uri, Path(rest), how)
    if scheme == "s3":
        return _scan_remote(uri, how)
    raise DataError(f"data.uri {uri!r}: unknown scheme {scheme}://; expected {_LAYOUTS}")


@dataclass(frozen=True)
class _How:
    """The arguments of `scan` besides the place of the data."""

    on_event: OnEvent
    zip_encoding: str | None
    s3: S3Settings
    annotations: AnnotationsConfig
    prefer: tuple[type, ...]
    votes: tuple[str, ...] = ()

    def table(self, place: Path, parts: Sequence[str] | None = None) -> tables.Table:
        """Return the table at `place`, with the first vote of each image that has no label."""
        table = tables.read(place, parts, on_event=self.on_event)
        if self.votes:
            from raytl.data.formats.vote_columns import read_votes  # it reads tables with this package

            votes, rows = read_votes(place, self.votes), table.rows
            rows.labels[:] = [
                label or votes.first(path.strip()) for path, label in zip(rows.paths, rows.labels, strict=True)
            ]
        return table


def _scan_local(uri: str, path: Path, how: _How) -> Manifest:
    if tables.is_table(path):
        return _scan_table(uri, path.parent.resolve() / path.name, how)
    if path.is_dir():
        return _scan_folder(uri, path.resolve(), how)
    if not path.exists():
        raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
    if is_archive_name(path.name):
        return _scan_archive(uri, path, how)
    raise DataError(f"data.uri {uri!r}: {path.name} is neither a folder nor a known manifest; expected {_LAYOUTS}")


def _scan_folder(uri: str, folder: Path, how: _How) -> Manifest:
    packed, beside = archives.shards_in(folder, uri)
    if packed:
        return archives.scan_shards(packed, beside, folder, uri, how.on_event)
    return _annotated(uri, folder, how) or folders.scan(files_below(folder), str(folder), uri)


def _annotated(uri: str, folder: Path, how: _How) -> Manifest | None:
    """Return the manifest of a folder of annotated images; None for other images."""
    from raytl.data.annotations.scan import scan_folder  # it reads tables with this package

    return scan_folder(folder, uri, files_below(folder), how.annotations, how.prefer)


def _scan_archive(uri: str, file: Path, how: _How) -> Manifest:
    """Return the manifest of an archive of annotated images, of class folders, or of one shard."""
    root, notes = archives.unpacked(file, uri, how.on_event, how.zip_encoding)
    if manifest := _annotated(uri, root, how):
        return replace(manifest, warnings=(*notes, *manifest.warnings))
    return archives.scan(file, uri, how.on_event, how.zip_encoding)


def _scan_remote(uri: str, how: _How) -> Manifest:
    """Pull and scan a whole prefix, a single archive, or a manifest with the files that it references."""
    folder, _, name = uri.rpartition("/")
    if is_archive_name(name):
        return _scan_archive(uri, pull(folder, how.on_event, only=[name], s3=how.s3) / name, how)
    if not is_table_name(uri):
        return _scan_folder(uri, pull(uri, how.on_event, s3=how.s3), how)
    folder, place, keys, parts = pulled_parts(uri, how.on_event, how.s3)
    if table := _annotated_table(place, how):
        pull(folder, how.on_event, only=[*keys, *tables.keys_in(table)], s3=how.s3)
        return _scan_table(uri, place, how)
    listing_table = how.table(place, parts)
    pull(folder, how.on_event, only=[*keys, *tables.keys_in(listing_table)], s3=how.s3)
    return tables.scan(listing_table, uri, _pulled_places(listing_table, how), on_event=how.on_event)


def root_of(
    uri: str, on_event: OnEvent = ignore, zip_encoding: str | None = None, s3: S3Settings = ENVIRONMENT
) -> Path | None:
    """Return the folder on this node that the keys of annotated images in a folder or an archive are relative to, after pulling
    or unpacking it; None for a table.

    Raises:
        DataError: an archive cannot be unpacked.
        StoreError: the bucket cannot be read.
    """
    if is_table_name(uri):
        return None
    folder, _, name = uri.rpartition("/")
    if in_bucket(uri):
        place = (
            pull(folder, on_event, only=[name], s3=s3) / name if is_archive_name(name) else pull(uri, on_event, s3=s3)
        )
    else:
        place = Path(uri.removeprefix("file://")).expanduser().resolve()
    return (
        archives.unpacked(place, uri, on_event, zip_encoding)[0] if is_archive_name(name) and place.is_file() else place
    )


def pulled_table(
    uri: str, on_event: OnEvent = ignore, *, labeled: bool = True, s3: S3Settings = ENVIRONMENT
) -> tuple[str, list[str], tables.Table]:
    """Fetch a table; return the URI of its folder, its keys there (one, or those of its parts), and the table.

    Raises:
        DataError: see `tables.read`.
        StoreError: the bucket cannot be read.
    """
    folder, place, keys, parts = pulled_parts(uri, on_event, s3)
    return folder, keys, tables.read(place, parts, labeled=labeled)


def pulled_parts(uri: str, on_event: OnEvent, s3: S3Settings) -> tuple[str, Path, list[str], list[str]]:
    """Fetch a table; return the URI of its folder, its place on this node, its keys, and its parts if it is a folder of them."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    store = open_store(folder, s3)
    existing = [info.key for info in retried(lambda: list(store.list(name)))]
    prefix = f"{name}/"
    inside = [key.removeprefix(prefix) for key in existing if key.startswith(prefix)]
    parts = [] if name in existing else tables.parts_among(inside, uri)
    keys = [prefix + part for part in parts] or [name]
    return folder, pull(folder, on_event, only=keys, s3=s3) / name, keys, parts


def _scan_table(uri: str, place: Path, how: _How) -> Manifest:
    """Scan a table of classes, boxes or attributes, after pulling the objects that it references in any bucket."""
    from raytl.data.annotations.scan import scan_table, table_columns

    if table := _annotated_table(place, how):
        columns = table_columns(place, how.annotations)
        assert columns is not None, "an annotated table has such columns"
        return scan_table(place, uri, columns, how.annotations, _pulled_places(table, how))
    table = how.table(place)
    return tables.scan(table, uri, _pulled_places(table, how), on_event=how.on_event)


def _annotated_table(place: Path, how: _How) -> tables.Table | None:
    """Return the images that a table of boxes or attributes lists; None for a table of path and label."""
    from raytl.data.annotations.scan import table_columns, table_paths

    if how.prefer == (str,) and how.annotations.format == "auto":
        return None
    columns = table_columns(place, how.annotations)
    return table_paths(place, columns) if columns else None


def _pulled_places(table: tables.Table, how: _How) -> dict[str, str]:
    """Pull the objects that a table references in any bucket; return their files on this node."""
    places: dict[str, str] = {}
    for bucket, keys in _by_bucket(tables.uris_in(table)).items():
        folder = pull(bucket, how.on_event, only=keys, s3=how.s3)
        places |= {f"{bucket}/{key}": str(folder / key) for key in keys}
    return places


def is_packed(uri: str, s3: S3Settings = ENVIRONMENT) -> bool:
    """Return whether the images are in archives: `uri` itself, or shards below it."""
    if is_archive_name(uri):
        return True
    if is_table_name(uri):
        return False
    return bool(shards.shards_among((info.key for info in listing(open_store(uri, s3))), uri)[0])


def _scan_streamed(uri: str, how: _How) -> Manifest:
    """Return the samples without pulling them, from a listing; of a manifest, only the table is pulled."""
    if is_table_name(uri):
        return _scan_streamed_table(uri, how)
    if is_archive_name(uri):
        raise DataError(
            f"data.stream: {uri} is an archive, which cannot be streamed; expected class folders, shards or a manifest. "
            "Unpack it in the bucket, or set data.stream to false"
        )
    store = open_store(uri, how.s3)
    infos = listing(store, on_event=how.on_event)
    packed, beside = shards.shards_among((info.key for info in infos), uri)
    if packed:
        keys = set(packed)
        return shards.scan(store, [info for info in infos if info.key in keys], beside, uri, how.on_event)
    if _is_annotated(uri, [info.key for info in infos], how):
        return _pulled_instead(_scan_folder(uri, pull(uri, how.on_event, s3=how.s3), how))
    objects = {f"{store.uri}/{info.key}": info for info in infos}
    manifest = folders.scan((info.key for info in infos), store.uri, uri)
    return replace(manifest, objects={sample.path: objects[sample.path] for sample in manifest.samples})


def _is_annotated(uri: str, keys: Sequence[str], how: _How) -> bool:
    """Return whether objects are annotated images, after pulling only the objects that may be annotations."""
    from raytl.data.annotations.scan import annotation_keys, is_annotated

    if not (few := annotation_keys(keys, how.annotations, how.prefer)):
        return False
    return is_annotated(pull(uri, how.on_event, only=few, s3=how.s3), uri, keys, how.annotations, how.prefer)


def _pulled_instead(manifest: Manifest) -> Manifest:
    note = f"{manifest.root}: annotated images are pulled to this node and not streamed, as their sizes are needed"
    return replace(manifest, warnings=(note, *manifest.warnings))


def _scan_streamed_table(uri: str, how: _How) -> Manifest:
    """Scan a manifest of streamed objects: one in a bucket, with objects beside it, or one on this machine, with URIs."""
    s3, on_event = how.s3, how.on_event
    local = pulled_parts(uri, on_event, s3)[1] if in_bucket(uri) else Path(uri).expanduser().absolute()
    if tables.is_table(local) and _annotated_table(local, how):
        return _pulled_instead(_scan_remote(uri, how) if in_bucket(uri) else _scan_local(uri, local, how))
    if in_bucket(uri):
        place, at, _, parts = pulled_parts(uri, on_event, s3)
        table = how.table(at, parts)
        folder, inside = open_store(place, s3).uri, tables.keys_in(table)
    else:
        path = Path(uri).expanduser().absolute()
        if not tables.is_table(path):
            raise DataError(f"data.uri {uri!r}: {path} does not exist; expected {_LAYOUTS}")
        folder, table, inside = "", how.table(path), []
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
    if has_scheme(uri) or not tables.is_table(path) or not tables.may_name_objects(path):
        return False
    return bool(tables.uris_in(tables.read(path, labeled=False)))


def lists_classes(uri: str, annotations: AnnotationsConfig = AS_FOUND) -> bool:
    """Return whether a manifest on this machine has one class for each image, as its columns say; no row is checked.

    Raises:
        DataError: `annotations.format` is table, and the manifest has no such columns.
    """
    from raytl.data.annotations.scan import table_columns

    path = Path(uri).expanduser()
    return not has_scheme(uri) and tables.is_table(path) and table_columns(path, annotations) is None


def _by_bucket(uris: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of these URIs by bucket, as s3://bucket."""
    keys: dict[str, list[str]] = {}
    for uri in uris:
        bucket, key = bucket_and_key(uri)
        keys.setdefault(f"s3://{bucket}", []).append(key)
    return keys
