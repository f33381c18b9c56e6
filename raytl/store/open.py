"""From a URI to a store."""

from __future__ import annotations

from pathlib import Path

from raytl.errors import StoreError
from raytl.store.contract import ObjectStore
from raytl.store.local import LocalStore
from raytl.store.memory import MemoryStore


def in_bucket(path: str | Path) -> bool:
    """True for the URI of an object in a bucket, false for a file."""
    return isinstance(path, str) and path.startswith("s3://")


def object_at(uri: str) -> tuple[ObjectStore, str]:
    """The bucket and the key of the one object that an s3:// URI names."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return open_store(f"s3://{bucket}"), key


def open_store(uri: str) -> ObjectStore:
    """The store that `uri` names: s3://bucket/prefix, file:///folder, memory://name, or a path. Nothing is contacted yet.

    Raises:
        StoreError: another scheme, or no bucket.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return LocalStore(Path(uri).expanduser().absolute())
    if scheme == "file":
        return LocalStore(Path(rest).absolute())
    if scheme == "memory":
        return MemoryStore(rest)
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise StoreError(f"{uri!r} names no store; expected s3://bucket/prefix, file:///folder or a path")
    from raytl.store.s3 import S3Store  # boto3 takes its time to import

    return S3Store(bucket, prefix.strip("/"))
