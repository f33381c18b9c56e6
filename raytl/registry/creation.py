"""An object that is created once: of many that try at the same moment, exactly one has done it, and each knows who."""

from __future__ import annotations

import time

from raytl.errors import Conflict
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.lease import SETTLE_S
from raytl.store.retry import retried

_UNGUARDED = (
    "{uri}: this store does not hold puts to conditions (If-None-Match); of two that write there in the same moment, the "
    "later one counts, which is waited for"
)


def created(store: ObjectStore, key: str, content: bytes, on_event: OnEvent = ignore) -> bool:
    """True if `content`, which no one else has, is now under `key`; False if something else is there.

    Where the store holds no conditions, it is looked again once all who may have looked before have put (see `lease`).
    """
    began = time.monotonic()
    try:
        retried(lambda: store.put_bytes(key, content, ABSENT))
    except Conflict:
        if retried(lambda: store.get_bytes(key)) != content:
            return False  # else it was an earlier attempt whose answer was lost, and is to be looked at as any other
    if retried(lambda: store.guards(key, content)):
        return True
    on_event(Message(_UNGUARDED.format(uri=store.uri), "warning"))
    time.sleep(max(SETTLE_S, 2 * (time.monotonic() - began)))
    return retried(lambda: store.get_bytes(key)) == content
