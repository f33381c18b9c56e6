"""Create an object once: if several processes try at the same time, exactly one succeeds, and each learns whether it did."""

from __future__ import annotations

import time

from raytl.errors import Conflict
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
    try:
        retried(lambda: store.put_bytes(key, content, ABSENT))
    except Conflict:
        if retried(lambda: store.get_bytes(key)) != content:
            return False  # else an earlier attempt succeeded whose response was lost
    if retried(lambda: store.guards(key, content)):
        return True
    on_event(Message(_UNGUARDED.format(uri=store.uri), "warning"))
    time.sleep(max(MAX_PUT_DELAY_S, 2 * (time.monotonic() - began)))
    return retried(lambda: store.get_bytes(key)) == content
