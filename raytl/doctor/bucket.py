"""What one machine finds when it reaches for a bucket: a look, a small object to and fro, and some megabytes, timed."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass

from raytl.errors import Denied, RaytlError, StoreError, first_line
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings

_READ_BYTES = 8 << 20
_PROBE = "raytl-doctor-"


@dataclass(frozen=True)
class Bucket:
    """Where to look; written to only where runs will be."""

    uri: str
    write: bool
    s3: S3Settings


@dataclass(frozen=True)
class Reached:
    """How `node` reached `uri`. `error` says why it did not; `refused` why it could not write. Speeds in bytes a second, 0
    where nothing was moved. `skew_s` is the node's clock against the store's, which tells whole seconds."""

    node: str
    uri: str
    list_s: float = 0.0
    objects: int = 0
    more: bool = False
    write_s: float | None = None
    refused: str = ""
    read_bytes: int = 0
    read_s: float = 0.0
    skew_s: float | None = None
    error: str = ""

    @property
    def read_rate(self) -> float:
        """Bytes a second."""
        return self.read_bytes / self.read_s if self.read_s else 0.0


def probe(bucket: Bucket, node: str) -> Reached:
    """What `node`, which is this machine, finds at the bucket. Never raises for what the store does."""
    try:
        return _probed(open_store(bucket.uri, bucket.s3), bucket, node)
    except RaytlError as exc:
        return Reached(node, bucket.uri, error=first_line(exc))


def _probed(store: ObjectStore, bucket: Bucket, node: str) -> Reached:
    glimpse(store)  # finds credentials and connects
    began = time.monotonic()
    found, more, skew = glimpse(store)
    list_s = time.monotonic() - began
    write_s, refused = _written(store) if bucket.write else (None, "")
    read_bytes, read_s = _read(store, found)
    return Reached(node, bucket.uri, list_s, len(found), more, write_s, refused, read_bytes, read_s, skew)


def glimpse(store: ObjectStore) -> tuple[list[ObjectInfo], bool, float | None]:
    """Some objects of the store, whether there are more, and this machine's clock against the store's."""
    from raytl.store.s3 import S3Store

    if isinstance(store, S3Store):
        found, more, told_s = store.first_page()
        return found, more, None if told_s is None else time.time() - told_s
    found = []
    for info in store.list():
        if len(found) == 1000:
            return found, True, None
        found.append(info)
    return found, False, None


def _written(store: ObjectStore) -> tuple[float | None, str]:
    """How long a small object takes there, back and away; or why it cannot be put."""
    key, content = f"{_PROBE}{secrets.token_hex(6)}", secrets.token_bytes(1024)
    began = time.monotonic()
    try:
        store.put_bytes(key, content)
        try:
            if store.get_bytes(key) != content:
                return None, "other bytes came back than were written"
        finally:
            store.delete(key)
    except Denied as exc:
        return None, f"read only: {first_line(exc)}"
    except StoreError as exc:
        return None, first_line(exc)
    return time.monotonic() - began, ""


def _read(store: ObjectStore, found: list[ObjectInfo]) -> tuple[int, float]:
    """Bytes and seconds of reading the largest objects, some megabytes in all."""
    done, began = 0, time.monotonic()
    for info in sorted(found, key=lambda info: -info.size)[:32]:
        with suppress(StoreError):
            done += len(store.get_bytes(info.key, 0, _READ_BYTES - done)) if info.size else 0
        if done >= _READ_BYTES or time.monotonic() - began > 10:
            break
    return done, time.monotonic() - began
