"""Replace an object only if it is the one that was read, also where the response of a put that succeeded was lost."""

from __future__ import annotations

from contextlib import suppress

from raytl.errors import Conflict, NotFound
from raytl.store.contract import ObjectInfo, ObjectStore
from raytl.store.retry import retried


def put_over(store: ObjectStore, key: str, content: bytes, expected: str) -> ObjectInfo:
    """Store `content`, which must be unique to the caller, in place of the object with the etag `expected` (`ABSENT`: of none).

    A put is repeated if its response is lost, here or by boto3; if the first one took effect, the second is a conflict with it.

    Raises:
        Conflict: another process wrote the object first.
    """
    try:
        return retried(lambda: store.put_bytes(key, content, expected))
    except Conflict:
        with suppress(NotFound):
            stored = retried(lambda: store.stat(key))
            if stored.size == len(content) and retried(lambda: store.get_bytes(key, max_bytes=len(content))) == content:
                return stored
        raise
