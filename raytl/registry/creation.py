"""Create an object once: if several processes try at the same time, exactly one succeeds, and each learns whether it did."""

from __future__ import annotations

import time

from raytl.errors import Conflict, NotFound, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.lease import MAX_PUT_DELAY_S
from raytl.store.retry import retried

_UNGUARDED = (
    "{uri}: this store ignores conditional puts (If-None-Match); if two processes write at the same time, the last one wins, "
    "so raytl waits to see which one did"
)


def create_once(store: ObjectStore, key: str, content: bytes, on_event: OnEvent = ignore) -> bool:
    """Return True if `content`, which must be unique to the caller, is now under `key`; False if another content is.

    On a store without conditional puts, read again after every process that found no object can have written (see `lease`).
    """
    began = time.monotonic()
    if not retried(lambda: _is_put(store, key, content)):
        return False
    if retried(lambda: store.guards(key, content)):
        return True
    on_event(Message(_UNGUARDED.format(uri=store.uri), "warning"))
    time.sleep(max(MAX_PUT_DELAY_S, 2 * (time.monotonic() - began)))
    return retried(lambda: store.get_bytes(key)) == content


def _is_put(store: ObjectStore, key: str, content: bytes) -> bool:
    """Return True if `content` is now under `key`, also where the response of an earlier attempt was lost.

    Raises:
        Unavailable: another put is under way (S3's ConditionalRequestConflict), which may still fail.
    """
    try:
        store.put_bytes(key, content, ABSENT)
    except Conflict:
        try:
            return store.get_bytes(key) == content
        except NotFound as exc:
            raise Unavailable(f"{store.uri}: another process is writing {key!r}; run the same command again") from exc
    return True
