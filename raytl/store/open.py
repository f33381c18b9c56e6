"""Open the object store that a URI names."""

from __future__ import annotations

import re
from pathlib import Path

from raytl.errors import StoreError, Unavailable
from raytl.home import expanded
from raytl.store.contract import MAX_BYTES, ObjectStore
from raytl.store.local import LocalStore
from raytl.store.memory import MemoryStore
from raytl.store.s3_settings import ENVIRONMENT, S3Settings
from raytl.uris import bucket_and_key

_BUCKET = re.compile(r"[\w.-]{1,255}|arn:aws[\w:./-]{1,512}", re.ASCII)
_PART = re.compile(r"#bytes=(\d+)\+(\d+)$")


def part_of(uri: str, start: int, size: int) -> str:
    """Return the URI of `size` bytes of an object from `start`."""
    return f"{uri}#bytes={start}+{size}"


def fetched(uri: str, max_bytes: int = MAX_BYTES, s3: S3Settings = ENVIRONMENT) -> bytes:
    """Return the bytes of the object, or of the part of one, that an s3:// URI names; one attempt.

    Raises:
        StoreError: it cannot be fetched, or has more than `max_bytes`.
    """
    part = _PART.search(uri)
    bucket, key = bucket_and_key(uri[: part.start()] if part else uri)
    store = open_store(f"s3://{bucket}" if _BUCKET.fullmatch(bucket) else uri, s3)
    if part is None:
        return store.get_bytes(key, max_bytes=max_bytes)
    content = store.get_bytes(key, int(part[1]), int(part[2]))
    if len(content) != int(part[2]):
        raise Unavailable(f"{uri}: {len(content)} bytes arrived, expected {int(part[2])}")
    return content


def open_store(uri: str, s3: S3Settings = ENVIRONMENT) -> ObjectStore:
    """Return the store that `uri` names: s3://bucket/prefix (with the settings `s3`), file:///folder, memory://name, or a path.

    Nothing is contacted yet.

    Raises:
        StoreError: another scheme, or no bucket.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return LocalStore(expanded(uri).absolute())
    if scheme == "file":
        return LocalStore(Path(rest).absolute())
    if scheme == "memory":
        return MemoryStore(rest)
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise StoreError(f"{uri!r} names no store; expected s3://bucket/prefix, file:///folder or a path")
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(f"{uri!r} names no bucket; expected s3://bucket/prefix, and credentials in the environment")
    from raytl.store.s3 import S3Store  # importing boto3 is slow

    return S3Store(bucket, prefix.strip("/"), s3)
