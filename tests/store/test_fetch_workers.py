"""Fetch workers download the listed objects whole, and leave failed ones to boto3."""

from __future__ import annotations

import base64
import hashlib
import ssl
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from raytl.store import fetch_workers, s3
from raytl.store.contract import ObjectInfo
from raytl.store.fetch_workers import Route, Wanted, download, request, signed, usable
from raytl.store.s3 import S3Store
from raytl.store.s3_settings import S3Settings
from tests.store import proxy as faults
from tests.store.proxy import proxied

KEYS = ("a.jpg", "a b/'c' \"d\".jpg", "é/ü.png", "plus+and%20&=?#~.jpg")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("token", [None, "session"])
@pytest.mark.parametrize("pays", [False, True])
def test_requests_are_signed_as_botocore_signs_them(key: str, token: str | None, pays: bool) -> None:
    route = Route("https", "bucket.s3.eu-west-3.amazonaws.com", "/", "eu-west-3", pays)
    mine = request(route, Credentials("AK", "secret", token), key, 1_790_000_000).decode()
    head, *lines = mine.removesuffix("\r\n\r\n").split("\r\n")
    sent = dict(line.split(": ", 1) for line in lines)
    expected = AWSRequest("GET", f"https://{route.host}{head.split()[1]}")
    for name in ("x-amz-checksum-mode", "x-amz-request-payer", "x-amz-date"):
        if name in sent:
            expected.headers[name] = sent[name]
    expected.context.update(timestamp=sent["x-amz-date"], payload_signing_enabled=True)
    signer = S3SigV4Auth(Credentials("AK", "secret", token), "s3", "eu-west-3")
    signer._modify_request_before_signing(expected)
    expected.headers.replace_header("X-Amz-Date", sent["x-amz-date"])
    canonical = signer.canonical_request(expected)
    signature = signer.signature(signer.string_to_sign(expected, canonical), expected)
    assert sent["authorization"].endswith(f"Signature={signature}")
    assert ("secret" in mine, "session" in mine) == (False, token is not None)


def test_requests_of_a_listing_are_signed_as_botocore_signs_them() -> None:
    route = Route("https", "s3.example.org", "/bucket/", "eu-west-3", requester_pays=True)
    path, sent = signed(route, Credentials("AK", "secret"), "", 1_790_000_000, "list-type=2&prefix=a%20b%2F%2B%3D")
    assert path == "/bucket?list-type=2&prefix=a%20b%2F%2B%3D"
    expected = AWSRequest("GET", f"https://{route.host}{path}", headers={"x-amz-request-payer": "requester"})
    expected.context.update(timestamp=sent["x-amz-date"], payload_signing_enabled=True)
    signer = S3SigV4Auth(Credentials("AK", "secret"), "s3", "eu-west-3")
    signer._modify_request_before_signing(expected)
    expected.headers.replace_header("X-Amz-Date", sent["x-amz-date"])
    canonical = signer.canonical_request(expected)
    assert sent["authorization"].endswith(signer.signature(signer.string_to_sign(expected, canonical), expected))


def test_without_credentials_nothing_is_signed() -> None:
    assert b"authorization" not in request(Route("http", "h", "/b/", None), None, "k", 0.0)


@pytest.mark.parametrize(
    ("host", "address"),
    [("s3.amazonaws.com", ("s3.amazonaws.com", 443)), ("minio:9000", ("minio", 9000)), ("[::1]:9", ("::1", 9)), ("[::1]", ("::1", 443))],
)  # fmt: skip
def test_the_host_and_its_port_are_separated(host: str, address: tuple[str, int]) -> None:
    assert Route("https", host, "/", None).address == address


def test_few_objects_or_a_configured_proxy_need_no_fetch_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    route = Route("http", "store:80", "/", None)
    assert (usable(route, 7), usable(route, 8)) == (False, True)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert not usable(route, 8)
    monkeypatch.setenv("no_proxy", "store")
    assert usable(route, 8)


@dataclass
class Objects:
    """A server's objects, and the form of its responses."""

    content: dict[str, bytes]
    keeps: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    gets: int = 0
    url: str = ""

    def etag(self, key: str) -> str:
        return hashlib.md5(self.content[key]).hexdigest()


@contextmanager
def serving(objects: Objects, context: ssl.SSLContext | None = None) -> Iterator[Route]:
    """Run a small server with HTTP or TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            objects.gets += 1
            key = self.path.removeprefix("/b/")
            body = objects.content[key]
            self.send_response_only(200)
            headers = {"ETag": f'"{objects.etag(key)}"', "Content-Length": str(len(body))}
            for name, value in {**headers, **objects.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = not objects.keeps

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Route("http" if context is None else "https", f"localhost:{server.server_port}", "/b/", None)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wanted(objects: Objects, folder: Path) -> list[Wanted]:
    return [
        Wanted(ObjectInfo(key, len(body), objects.etag(key)), key, str(folder / key))
        for key, body in objects.content.items()
    ]


@pytest.fixture
def objects() -> Objects:
    """Sixty objects: empty ones, small ones, and some larger than the read buffer."""
    sizes = [0, 1, 15_000, 40_000, 3 << 20]
    return Objects({f"{i}.jpg": bytes([i]) * sizes[i % 5] for i in range(60)})


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_everything_arrives_over_persistent_connections_and_over_others(
    objects: Objects, tmp_path: Path, keeps: bool, headers: dict[str, str]
) -> None:
    objects.keeps, objects.headers = keeps, headers
    with serving(objects) as route:
        came = list(download(route, lambda: None, wanted(objects, tmp_path), 5.0))
    assert sorted(info.key for info in came) == sorted(objects.content)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == objects.content
    assert objects.gets == 60


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"00000000000000000000000000000000"'},
        {"Content-Length": "7"},
        {"Content-Length": "9999999"},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_an_object_that_differs_from_its_listing_fails_and_leaves_nothing(
    objects: Objects, tmp_path: Path, headers: dict[str, str]
) -> None:
    objects.headers = headers
    with serving(objects) as route:
        assert list(download(route, lambda: None, wanted(objects, tmp_path), 0.5)) == []
    assert list(tmp_path.iterdir()) == []


def test_bytes_beyond_the_listed_size_are_not_written(objects: Objects, tmp_path: Path) -> None:
    listed = wanted(objects, tmp_path)
    short = [Wanted(ObjectInfo(one.info.key, 1, one.info.etag), one.key, one.path) for one in listed]
    objects.headers = {"Content-Length": "1"}
    with serving(objects) as route:
        came = list(download(route, lambda: None, short, 0.5))
    assert {info.key for info in came} <= {key for key, body in objects.content.items() if len(body) == 1}
    assert all(path.stat().st_size <= 1 for path in tmp_path.iterdir())


def test_an_etag_that_is_not_an_md5_is_not_compared(objects: Objects, tmp_path: Path) -> None:
    listed = [
        Wanted(ObjectInfo(one.info.key, one.info.size, "0" * 32), one.key, one.path)
        for one in wanted(objects, tmp_path)
    ]
    objects.headers = {"ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}
    with serving(objects) as route:
        assert len(list(download(route, lambda: None, listed, 5.0))) == 60


def test_workers_give_up_if_the_server_does_not_answer(objects: Objects, tmp_path: Path) -> None:
    with serving(objects) as route:
        pass
    many = [one for one in wanted(objects, tmp_path) for _ in range(20)]
    assert list(download(route, lambda: None, many, 5.0)) == []


def test_closing_the_generator_ends_the_workers(objects: Objects, tmp_path: Path) -> None:
    before = threading.active_count()
    with serving(objects) as route:
        arrivals = download(route, lambda: None, wanted(objects, tmp_path), 5.0)
        next(arrivals)
        arrivals.close()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert threading.active_count() < before + 80


ENDED_AS_A_FILE_OPENS = """
import os, signal
opened = os.open
def open_and_end(*arguments):
    file = opened(*arguments)
    os.kill(os.getpid(), signal.SIGTERM)
    return file
os.open = open_and_end
"""


def test_a_worker_terminated_while_it_opens_a_file_removes_it(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = fetch_workers._START.replace("main()", f"exec({ENDED_AS_A_FILE_OPENS!r}); main()")
    monkeypatch.setattr(fetch_workers, "_START", start)
    with serving(objects) as route:
        assert len(list(download(route, lambda: None, wanted(objects, tmp_path), 5.0))) < 60
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("sent", ["true", "false"])
def test_the_checksum_of_an_object_decides_where_its_etag_is_no_md5(
    objects: Objects, tmp_path: Path, sent: str
) -> None:
    """As of a multipart upload, whose ETag cannot be verified."""
    body = b"x" * 15_000
    objects.content = {f"{i}.jpg": body for i in range(8)}
    crc = base64.b64encode(zlib.crc32(body if sent == "true" else b"other").to_bytes(4, "big")).decode()
    objects.headers = {"ETag": '"0-2"', "x-amz-checksum-crc32": crc}
    listed = [
        Wanted(ObjectInfo(one.info.key, one.info.size, "0-2"), one.key, one.path) for one in wanted(objects, tmp_path)
    ]
    with serving(objects) as route:
        assert len(list(download(route, lambda: None, listed, 5.0))) == (8 if sent == "true" else 0)


def test_tls_is_checked_against_the_given_authorities(objects: Objects, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    (tmp_path / "out").mkdir()
    with serving(objects, context) as route:
        assert list(download(route, lambda: None, wanted(objects, tmp_path / "out"), 5.0)) == []
        trusted = Route(**{**{name: getattr(route, name) for name in Route.__slots__}, "cafile": str(certificate)})
        assert len(list(download(trusted, lambda: None, wanted(objects, tmp_path / "out"), 5.0))) == 60
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == objects.content


@pytest.mark.s3
def test_workers_use_the_address_at_which_boto3_listed_the_bucket(bucket: str, s3_client: Any, tmp_path: Path) -> None:
    keys = [f"p/{number} é+&'.jpg" for number in range(20)]
    for key in keys:
        s3_client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    store = S3Store(bucket, "p")
    assert list(store.get_files(list(S3Store(bucket, "p/q").list()), tmp_path)) == []
    listed = list(store.list())
    assert sorted(info.key for info in store.get_files(listed, tmp_path)) == sorted(info.key for info in listed)
    assert all((tmp_path / info.key).read_bytes() == f"p/{info.key}".encode() for info in listed)
    assert s3.cached_client(S3Settings()).routes[bucket].region == "us-east-1"


@pytest.mark.s3
def test_of_a_faulty_store_only_whole_objects_are_yielded(
    s3_server: str, bucket: str, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        s3_client.put_object(Bucket=bucket, Key=f"{number}", Body=bytes([number]) * 5000)
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        listed = list(S3Store(bucket).list())
        chosen = faults.fraction(0.3)
        proxy.do(faults.wrong_bytes, lambda one: one.is_get and chosen(one))
        came = list(S3Store(bucket).get_files(listed, tmp_path))
        assert len(came) == 60 - proxy.done < 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(info.key for info in came)
    assert all(path.read_bytes() == bytes([int(path.name)]) * 5000 for path in tmp_path.iterdir())
