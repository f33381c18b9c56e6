"""Responses that are endless, or that end elsewhere than announced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import StoreError, TooLarge
from raytl.store import s3_body
from raytl.store.s3 import S3Store
from raytl.store.sync import pull
from tests.store import proxy as faults
from tests.store.proxy import Proxy

pytestmark = pytest.mark.s3
LISTED = 1800
MAX_SENT = 64 << 20
"""Bytes that the hostile store sends to a client that does not hang up; earlier versions read them all."""
SOCKETS = 16 << 20
"""Limit for the bytes in the buffers between the two."""


@pytest.fixture
def hostile(before_s3: Proxy, bucket: str, s3_client: Any) -> Proxy:
    """A store with endless objects."""
    for number in range(10):
        s3_client.put_object(Bucket=bucket, Key=f"p/{number}", Body=bytes(LISTED))
    before_s3.do(faults.endless(MAX_SENT), lambda request: request.is_get)
    return before_s3


def test_an_endless_body_is_cut_at_the_listed_size(hostile: Proxy, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=rf"^s3://{bucket}/p/3: more bytes arrived than the 1,800 listed"):
        S3Store(bucket).get_to_file("p/3", tmp_path / "file", LISTED)
    assert list(tmp_path.iterdir()) == []
    assert hostile.sent < SOCKETS


def test_a_pull_of_endless_bodies_writes_no_more_than_was_listed(hostile: Proxy, bucket: str, own_cache: Path) -> None:
    with pytest.raises(TooLarge, match=rf"s3://{bucket}/p/\d: more bytes arrived than the 1,800 listed"):
        pull(f"s3://{bucket}/p")
    assert sum(path.stat().st_size for path in own_cache.rglob("*") if path.is_file()) < 10 * LISTED


@pytest.mark.parametrize(
    "read",
    [lambda store: store.get_bytes("p/3", max_bytes=LISTED), lambda store: store.get_bytes("p/3", 0, LISTED)],
    ids=["whole", "range"],
)
def test_an_endless_body_does_not_fill_the_memory(
    hostile: Proxy, bucket: str, read: Callable[[S3Store], bytes]
) -> None:
    with pytest.raises(TooLarge, match=rf"^s3://{bucket}/p/3: holds more than 1,800 bytes"):
        read(S3Store(bucket))
    assert hostile.sent < SOCKETS


@pytest.mark.parametrize("status", [200, 403, 503])
def test_an_endless_listing_or_error_is_cut(
    hostile: Proxy, bucket: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_body, "MAX_RESPONSE_BYTES", 1 << 20)

    def flow(proxy: Proxy, handler: Any, ask: Callable[[], faults.Answer]) -> None:
        faults.endless(MAX_SENT)(
            proxy, handler, lambda: faults.Answer(status, [("Content-Type", "application/xml")], b"<x>")
        )

    hostile.do(flow, lambda _: True)
    with pytest.raises(
        StoreError, match=r"the response is longer than 1,048,576 bytes; expected a response of an S3 store"
    ):
        list(S3Store(bucket).list())
    assert hostile.sent < SOCKETS


def test_an_object_that_is_announced_with_another_size_than_was_listed_is_not_fetched(
    before_s3: Proxy, bucket: str, s3_client: Any, tmp_path: Path
) -> None:
    s3_client.put_object(Bucket=bucket, Key="k", Body=bytes(5000))
    with pytest.raises(
        StoreError, match=r"k: holds 5,000 bytes, but was listed with 1,800: it changed after the listing. Run again"
    ):
        S3Store(bucket).get_to_file("k", tmp_path / "file", LISTED)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_whose_connection_breaks_is_retried(before_s3: Proxy, bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"1")
    before_s3.do(faults.reset_within, lambda request: request.number % 2 == 0)
    assert [info.key for info in S3Store(bucket).list()] == ["k"]
