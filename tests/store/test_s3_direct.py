"""Direct reads return verified bytes, and leave everything unusual to boto3."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from raytl.store import s3, s3_direct
from raytl.store.fetch_workers import Route
from raytl.store.s3 import S3Store
from raytl.store.s3_direct import connections, read_listing, read_whole
from raytl.store.s3_settings import S3Settings
from tests.store.proxy import proxied, wrong_bytes
from tests.store.test_fetch_workers import Objects, serving

BODY = b"a photo" * 2000


@pytest.fixture
def objects() -> Objects:
    return Objects({"a.jpg": BODY})


def direct(route: Route, max_bytes: int = 1 << 20) -> bytes | None:
    pool = connections(S3Settings(connect_timeout_s=30.0, read_timeout_s=30.0), "", 4)
    try:
        return read_whole(pool, route, None, "a.jpg", max_bytes)
    finally:
        pool.clear()


def test_an_object_is_read_and_verified(objects: Objects) -> None:
    with serving(objects) as route:
        assert direct(route) == BODY
        objects.headers = {
            "ETag": '"0-2"',
            "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(BODY).to_bytes(4)).decode(),
        }
        assert direct(route) == BODY


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"00000000000000000000000000000000"'},
        {"x-amz-checksum-crc32": "AAAAAA=="},
        {"Content-Length": "7"},
        {"Content-Length": "x"},
        {"Content-Length": "9" * 5000},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_anything_unusual_is_left_to_boto3(objects: Objects, headers: dict[str, str]) -> None:
    objects.headers = headers
    with serving(objects) as route:
        assert direct(route) is None


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_the_body_of_a_listing_is_read_whole_and_its_connection_again(headers: dict[str, str]) -> None:
    key = "/b?list-type=2&prefix=a%20%2B"
    objects = Objects({key: b"3\r\nabc\r\n0\r\n\r\n" if headers else b"abc"}, headers=headers)
    pool = connections(S3Settings(connect_timeout_s=30.0, read_timeout_s=30.0), "", 4)
    with serving(objects) as route:
        for _ in range(2):
            assert read_listing(pool, route, None, {"prefix": "a +", "list-type": "2"}) == b"abc"
        assert pool.connection_from_host(*route.address).num_connections == 1
        assert read_listing(pool, route, None, {"prefix": "b"}) is None
        pool.clear()


def test_a_listing_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_direct, "MAX_RESPONSE_BYTES", 2)
    with serving(Objects({"/b?prefix=": b"abc"})) as route:
        assert read_listing(connections(S3Settings(), "", 1), route, None, {"prefix": ""}) is None


def test_an_object_beyond_the_limit_is_not_read(objects: Objects) -> None:
    with serving(objects) as route:
        assert direct(route, len(BODY)) == BODY
        assert direct(route, len(BODY) - 1) is None


def test_a_server_that_does_not_answer_is_left_to_boto3(objects: Objects) -> None:
    with serving(objects) as route:
        pass
    assert direct(route) is None


@pytest.mark.s3
def test_after_some_reads_boto3_is_left_out_until_one_fails(
    s3_server: str, bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(bucket, "p é")
    keys = [f"{number} +&'.jpg" for number in range(12)]
    for key in keys:
        s3_client.put_object(Bucket=bucket, Key=f"p é/{key}", Body=key.encode())
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        assert [store.get_bytes(key) for key in keys] == [key.encode() for key in keys]
        reads = s3.cached_client(S3Settings()).reads
        assert reads[bucket] == 8, "the last four were read directly"
        proxy.do(wrong_bytes, lambda one: one.is_get and proxy.done < 1)
        assert store.get_bytes(keys[0]) == keys[0].encode()
        assert (proxy.done, reads[bucket]) == (1, 1), "boto3 repeated the read"
