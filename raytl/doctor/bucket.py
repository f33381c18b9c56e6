"""A timed probe of a bucket from one machine: a listing, a small object written and read, and some megabytes read."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass

from raytl.errors import Denied, RaytlError, StoreError, first_line
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings
from raytl.uris import is_archive_name, is_table_name

_READ_BYTES = 8 << 20
_PROBE = "raytl-doctor-"


@dataclass(frozen=True)
class Bucket:
    """A bucket to probe; written to only if runs are stored there."""

    uri: str
    write: bool
    s3: S3Settings


@dataclass(frozen=True)
class BucketProbe:
    """The result of probing `uri` from `node`: times, sizes, `error` (unreachable) and `write_error` (not writable).

    `skew_s` is the node's clock minus the store's, which has a resolution of one second.
    """

    node: str
    uri: str
    list_s: float = 0.0
    objects: int = 0
    more: bool = False
    write_s: float | None = None
    write_error: str = ""
    read_bytes: int = 0
    read_s: float = 0.0
    skew_s: float | None = None
    error: str = ""

    @property
    def lacks_data(self) -> bool:
        """True if nothing is where data is read."""
        return not (self.error or self.objects or self.more or self.write_error) and self.write_s is None

    @property
    def read_rate(self) -> float:
        """Bytes per second; 0 if nothing was read."""
        return self.read_bytes / self.read_s if self.read_s else 0.0


def probe(bucket: Bucket, node: str) -> BucketProbe:
    """Probe the bucket from this machine, called `node`; store errors are part of the result."""
    try:
        return _probed(open_store(bucket.uri, bucket.s3), bucket, node)
    except RaytlError as exc:
        return BucketProbe(node, bucket.uri, error=first_line(exc))


def _probed(store: ObjectStore, bucket: Bucket, node: str) -> BucketProbe:
    first_page(store)  # resolves credentials and connects
    began = time.monotonic()
    objects, more, skew = first_page(store)
    list_s = time.monotonic() - began
    if not objects and (is_table_name(bucket.uri) or is_archive_name(bucket.uri)):
        store, objects = _named_object(bucket)
    write_s, write_error = _write(store) if bucket.write else (None, "")
    read_bytes, read_s = _read(store, objects)
    return BucketProbe(node, bucket.uri, list_s, len(objects), more, write_s, write_error, read_bytes, read_s, skew)


def _named_object(bucket: Bucket) -> tuple[ObjectStore, list[ObjectInfo]]:
    """Return the object of exactly this URI, such as a manifest or an archive, if there is one, and the store above it."""
    folder, _, name = bucket.uri.rstrip("/").rpartition("/")
    store = open_store(folder, bucket.s3)
    return store, [store.stat(name)] if store.exists(name) else []


def first_page(store: ObjectStore) -> tuple[list[ObjectInfo], bool, float | None]:
    """Return up to one page of objects, whether there are more, and this machine's clock skew against the store."""
    from raytl.store.s3 import S3Store

    if isinstance(store, S3Store):
        objects, more, server_s = store.first_page()
        return objects, more, None if server_s is None else time.time() - server_s
    objects = []
    for info in store.list():
        if len(objects) == 1000:
            return objects, True, None
        objects.append(info)
    return objects, False, None


def _write(store: ObjectStore) -> tuple[float | None, str]:
    """Return the seconds to write, read and delete a small object, or the reason why it failed."""
    key, content = f"{_PROBE}{secrets.token_hex(6)}", secrets.token_bytes(1024)
    began = time.monotonic()
    try:
        store.put_bytes(key, content)
        try:
            if store.get_bytes(key) != content:
                return None, "the object read back differs from what was written"
        finally:
            store.delete(key)
    except Denied as exc:
        return None, f"read-only: {first_line(exc)}"
    except StoreError as exc:
        return None, first_line(exc)
    return time.monotonic() - began, ""


def _read(store: ObjectStore, objects: list[ObjectInfo]) -> tuple[int, float]:
    """Return the bytes and seconds of reading the largest objects, up to some megabytes."""
    done, began = 0, time.monotonic()
    for info in sorted(objects, key=lambda info: -info.size)[:32]:
        with suppress(StoreError):
            done += len(store.get_bytes(info.key, 0, _READ_BYTES - done)) if info.size else 0
        if done >= _READ_BYTES or time.monotonic() - began > 10:
            break
    return done, time.monotonic() - began
