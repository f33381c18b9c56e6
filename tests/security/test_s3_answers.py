"""A store that answers with something else than S3 does is named in an error, whatever it says."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raytl.errors import StoreError
from raytl.store import s3
from raytl.store.s3 import S3Store

ONE = "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;x&quot;</ETag></Contents>"


def page(inside: str, truncated: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    return f'<?xml version="1.0"?><ListBucketResult>{truncated}{inside}</ListBucketResult>'.encode()


class _Answering(ThreadingHTTPServer):
    """Gives the same body and headers to whoever asks for anything."""

    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class _Handler(BaseHTTPRequestHandler):
    server: _Answering

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in (("Content-Length", str(len(self.server.body))), *self.server.headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    do_HEAD = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Answering]:
    """A server that the client takes for S3."""
    with _Answering(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setattr("time.sleep", lambda _: None)
        s3.forget_client()
        yield server
        s3.forget_client()
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not XML",
        b"<html><body>proxy login</body></html>",
        page("", truncated=""),
        page("", truncated="<IsTruncated>true</IsTruncated>"),
        page(ONE.format(key="a", size="")),
        page(ONE.format(key="a", size="abc")),
        page(ONE.format(key="a", size="-1")),
        page(ONE.format(key="a", size="1e9")),
        page(ONE.format(key="a", size="9" * 5000)),
        page(ONE.format(key="a", size="٤")),
        page("<Contents/>"),
        page("<a>" * 2000 + "</a>" * 2000),
        page(ONE.format(key="a", size="1"))[:-30],
    ],
)
def test_a_listing_that_is_none_is_named_or_empty(hostile: _Answering, body: bytes) -> None:
    hostile.body = body
    try:
        found = list(S3Store("bucket").list())
    except StoreError as error:
        found = []
        assert_named(error)
    assert all(info.size >= 0 for info in found)


def assert_named(error: StoreError) -> None:
    assert "s3://bucket" in str(error)


def test_a_size_that_is_no_number_is_named(hostile: _Answering) -> None:
    hostile.body = page(ONE.format(key="a", size="abc"))
    with pytest.raises(StoreError, match=r"s3://bucket.*response cannot be read \(ValueError: a size of 'abc' bytes\)"):
        list(S3Store("bucket").list())


def test_an_answer_without_an_etag_is_named(hostile: _Answering) -> None:
    with pytest.raises(StoreError, match=r"s3://bucket/a: the store's response cannot be read \(KeyError: 'ETag'\)"):
        S3Store("bucket").stat("a")


def test_a_write_whose_answer_has_no_etag_is_known_by_its_md5(hostile: _Answering) -> None:
    """OpenStack Swift answers some writes so, and they are done."""
    assert S3Store("bucket").put_bytes("a", b"x").etag == hashlib.md5(b"x", usedforsecurity=False).hexdigest()


def test_a_date_that_is_none_is_named(hostile: _Answering) -> None:
    hostile.headers = (("ETag", '"x"'), ("Last-Modified", "yesterday"))
    with pytest.raises(StoreError, match=r"s3://bucket/a: "):
        S3Store("bucket").stat("a")


@pytest.mark.parametrize("folder", ["p/", "", "other/", "p/" + "d/" * 600])
def test_a_folder_that_is_not_below_the_listed_one_ends_the_listing(hostile: _Answering, folder: str) -> None:
    """The listing would ask for it again and again, each time from one more thread."""
    inside = (
        f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes><NextContinuationToken>1</NextContinuationToken>"
    )
    hostile.body = page(inside, truncated="<IsTruncated>true</IsTruncated>")
    with pytest.raises(StoreError, match="the store's response cannot be read .*a folder"):
        list(S3Store("b", "p").list(""))
