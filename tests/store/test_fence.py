"""A fenced write never replaces an object of a later generation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raytl.errors import Conflict, Unavailable
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.fence import FENCE, fence_of, generation_of, put_fenced, raise_fence

KEY = "pointer.json"


def payload(generation: int, text: str = "") -> bytes:
    return json.dumps({"generation": generation, "text": text}).encode()


def test_a_later_generation_replaces_an_earlier_one_and_never_the_reverse(store: ObjectStore) -> None:
    put_fenced(store, KEY, payload(1), 1)
    put_fenced(store, KEY, payload(2), 2)
    with pytest.raises(
        Conflict, match=r"another raytl took over \('pointer.json' has generation 2, this process has 1"
    ):
        put_fenced(store, KEY, payload(1, "late"), 1)
    assert store.get_bytes(KEY) == payload(2)


def test_an_object_of_the_same_generation_is_replaced_only_if_expected(store: ObjectStore) -> None:
    first = put_fenced(store, KEY, payload(1), 1, ABSENT)
    put_fenced(store, KEY, payload(1, "next"), 1, first.etag)
    with pytest.raises(Conflict, match="another process wrote it first"):
        put_fenced(store, KEY, payload(1, "other"), 1, first.etag)
    put_fenced(store, KEY, payload(1, "whatever is there"), 1)
    assert store.get_bytes(KEY) == payload(1, "whatever is there")


def test_a_late_object_of_an_earlier_generation_is_replaced(store: ObjectStore) -> None:
    put_fenced(store, KEY, payload(1, "late"), 1)
    put_fenced(store, KEY, payload(2), 2, ABSENT)
    assert store.get_bytes(KEY) == payload(2)


def test_a_put_whose_response_was_lost_is_not_a_conflict_with_itself(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, calls = type(store), iter((True, False, False))
    real = kind.put_bytes

    def lossy(self: ObjectStore, *arguments: Any) -> Any:
        done = real(self, *arguments)
        if next(calls):
            raise Unavailable("no answer")
        return done

    monkeypatch.setattr(kind, "put_bytes", lossy)
    done = put_fenced(store, KEY, payload(1), 1, ABSENT, pause=lambda _: None)
    assert done.etag == store.stat(KEY).etag


def test_the_fence_only_rises(store: ObjectStore) -> None:
    assert fence_of(store) == 0
    raise_fence(store, 3)
    assert fence_of(store) == 3
    with pytest.raises(Conflict, match="another raytl took over"):
        raise_fence(store, 2)
    assert generation_of(store.get_bytes(FENCE)) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"[1]", b"[" * 10_000, b'{"generation": "7"}', b'{"generation": true}', b'{"generation": -1}', b"{}"],
    ids=lambda content: str(content[:20]),
)
def test_content_without_a_generation_has_generation_zero(content: bytes) -> None:
    assert generation_of(content) == 0
