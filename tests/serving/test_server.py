"""The server on a real socket: slow, many and oversized clients, signals, and what it imports."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from raytl.serving import server
from raytl.serving.app import Application
from raytl.serving.guard import GuardedConnection, guarded
from raytl.serving.options import Limits, ServeOptions
from raytl.serving.running import running
from raytl.serving.service import Service
from tests.serving.bundles import photo

REPO = Path(__file__).resolve().parents[2]
POST = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n"


@dataclass
class Running:
    """A server in a thread."""

    service: Service
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with ExitStack() as stack:
            stack.callback(connection.close)
            connection.request(method, path, body, {"content-type": "image/jpeg", **headers})
            response = connection.getresponse()
            return response.status, response.read()


@contextmanager
def listening(service: Service) -> Iterator[Running]:
    ready = threading.Event()
    running_server = server.server_of(service, ready.set)
    with server.listening("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=running_server.run, kwargs={"sockets": [bound]})
        thread.start()
        assert ready.wait(20)
        try:
            yield Running(service, bound.getsockname()[1])
        finally:
            running_server.should_exit = True
            thread.join(20)


@pytest.fixture
def on_socket(bundle: Path) -> Iterator[Callable[..., Running]]:
    """Makes a server with these limits."""
    with ExitStack() as stack:

        def make(**limits: Any) -> Running:
            options = ServeOptions(str(bundle), workers=2, limits=replace(Limits(), **limits))
            return stack.enter_context(listening(stack.enter_context(running(options))))

        yield make


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_requests_are_answered_on_one_connection(on_socket: Callable[..., Running]) -> None:
    running = on_socket()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for _ in range(5):
        connection.request("POST", "/predict", photo(), {"content-type": "image/jpeg"})
        assert json.loads(connection.getresponse().read())["label"] == "red"
    connection.close()


def test_a_client_that_drips_its_head_is_closed(on_socket: Callable[..., Running]) -> None:
    with on_socket(head_s=0.2).connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        assert read_all(connection) == b""


def test_a_client_that_drips_its_body_gets_408(on_socket: Callable[..., Running]) -> None:
    running = on_socket(body_s=0.2)
    with running.connect() as connection:
        connection.sendall(POST + b"content-length: 1000\r\n\r\nabc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    assert running.service.bodies.held_bytes == 0


def test_a_client_that_drips_a_body_nobody_reads_is_closed(on_socket: Callable[..., Running]) -> None:
    with on_socket(head_s=0.3).connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc")
        assert b'"live": true' in read_all(connection)


def test_a_head_without_end_is_431(on_socket: Callable[..., Running]) -> None:
    with on_socket().connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 40_000)
        assert connection.recv(4096).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz?" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"x: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + (b"x: " + b"a" * 1000 + b"\r\n") * 40 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a" * 40_000 + b": x\r\n\r\n",
    ],
)
def test_a_complete_head_that_comes_in_one_read_is_431_if_it_is_too_long(
    on_socket: Callable[..., Running], head: bytes
) -> None:
    config = uvicorn.Config(Application(on_socket().service), lifespan="off", log_config=None)
    refused: list[int] = []

    async def read_at_once(data: bytes) -> bytes:
        connection, transport = guarded(Limits(), refused.append)(config, ServerState(), {}), Unread()
        connection.connection_made(transport)
        connection.data_received(data)
        return bytes(transport.written)

    assert asyncio.run(read_at_once(head)).startswith(b"HTTP/1.1 431 ")
    assert refused == [431]
    assert asyncio.run(read_at_once(head.replace(b"aaaa", b"a"))) == b""
    assert refused == [431]


def send_until_closed(connection: socket.socket, data: bytes) -> None:
    for _ in range(4000):
        connection.sendall(data)


@pytest.mark.parametrize("line", [b"x: " + b"a" * 1000 + b"\r\n", b"a:b\r\n", b"x: " + b"a" * 1000])
def test_headers_without_end_after_a_body_close_the_connection(on_socket: Callable[..., Running], line: bytes) -> None:
    running = on_socket()
    with running.connect() as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        with pytest.raises(ConnectionError, match="reset|pipe"):
            send_until_closed(connection, line * 100)
    assert 'raytl_requests_total{code="431",path="connection"} 1' in running.service.metrics()


def test_requests_without_end_before_an_answer_close_the_connection(
    on_socket: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    running = on_socket()
    with running.connect() as connection, pytest.raises(ConnectionError, match="reset|pipe"):
        send_until_closed(connection, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100)
    assert 'raytl_requests_total{code="503",path="connection"} 1' in running.service.metrics()
    assert not caplog.records


def test_more_headers_than_any_client_sends_are_431(on_socket: Callable[..., Running]) -> None:
    with on_socket().connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"a:b\r\n" * 200 + b"\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 431 ")


class Unread(asyncio.Transport):
    """A connection whose client reads nothing: it ends when it is aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.closed, self.aborted, self.written = asyncio.Event(), asyncio.Event(), bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.aborted.set()


def test_a_client_that_does_not_read_is_closed(on_socket: Callable[..., Running]) -> None:
    config = uvicorn.Config(Application(on_socket().service), lifespan="off", log_config=None)

    def connected(**limits: float) -> tuple[GuardedConnection, Unread]:
        create = guarded(replace(Limits(), **limits), lambda status: None)
        connection, transport = create(config, ServerState(), {}), Unread()
        connection.connection_made(transport)
        return connection, transport

    async def clients() -> None:
        connection, transport = connected(body_s=0.05)
        connection.pause_writing()
        await asyncio.wait_for(transport.aborted.wait(), 10)
        connection, transport = connected(body_s=0.05, head_s=0.1)
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.wait_for(transport.closed.wait(), 10)
        assert not transport.aborted.is_set()
        await asyncio.wait_for(transport.aborted.wait(), 10)

    asyncio.run(clients())


def test_the_body_of_a_request_that_was_sent_ahead_is_not_a_head(on_socket: Callable[..., Running]) -> None:
    running, body = on_socket(), photo(px=300, kind="BMP")
    with running.connect() as connection:
        head = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" + head + body[:100])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        connection.sendall(body[100:])
        assert b'"label": "red"' in read_all(connection)


def test_more_connections_than_allowed_are_503_and_the_others_stay(on_socket: Callable[..., Running]) -> None:
    running = on_socket(connections=8)
    with ExitStack() as stack:
        first = [stack.enter_context(running.connect()) for _ in range(8)]
        first[0].sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert first[0].recv(4096).startswith(b"HTTP/1.1 200 ")
        with running.connect() as late:
            assert late.recv(4096).startswith(b"HTTP/1.1 503 ")
        first[1].sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert first[1].recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("framing", ["length", "chunked", "lying"])
def test_a_large_upload_gets_413_although_it_is_not_read(on_socket: Callable[..., Running], framing: str) -> None:
    running = on_socket(max_bytes=100_000)
    size = 20_000_000
    with running.connect() as connection:
        if framing == "chunked":
            connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
            payload = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            for _ in range(size // 65536):
                connection.sendall(payload)
            connection.sendall(b"0\r\n\r\n")
        else:
            length = size if framing == "length" else 200_000
            connection.sendall(POST + b"content-length: %d\r\n\r\n" % length)
            connection.sendall(b"x" * length)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert running.service.bodies.held_bytes == 0


def test_uploads_beyond_the_memory_of_all_are_503(on_socket: Callable[..., Running]) -> None:
    running = on_socket(memory_bytes=50_000)
    status, body = running.ask("POST", "/predict", b"x" * 60_000)
    assert (status, b"too many uploads" in body) == (503, True)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n x: y\r\nhost : b\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_heads_are_refused_and_the_server_lives(on_socket: Callable[..., Running], head: bytes) -> None:
    running = on_socket(head_s=0.5)
    with running.connect() as connection:
        connection.sendall(head)
        assert connection.recv(4096)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 413")
    assert running.ask("GET", "/healthz")[0] == 200


def test_nothing_of_a_request_comes_back_as_a_header(on_socket: Callable[..., Running]) -> None:
    running = on_socket()
    with running.connect() as connection:
        connection.sendall(
            b"GET /v2/models/a%0d%0aset-cookie:%20x=1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        assert b"\r\nset-cookie" not in read_all(connection).lower()


def test_a_port_in_use_is_a_clear_error() -> None:
    with server.listening("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with (
            pytest.raises(
                server.PortError, match=rf"127.0.0.1:{port}: cannot listen there .*Choose another with --port"
            ),
            server.listening("127.0.0.1", port),
        ):
            pass


def start(bundle: Path, *words: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
    """`raytl serve` as a process of its own, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "raytl", "serve", str(bundle), "--port", "0", *words],
        env=os.environ | {"PYTHONPATH": str(REPO)} | environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "Serving" in line:
            return process, int(line.partition("127.0.0.1:")[2].split(" ")[0].split("/")[0])
    raise AssertionError("it ended without serving")


def test_sigterm_finishes_what_has_begun_and_ends_with_0(bundle: Path) -> None:
    process, port = start(bundle)
    body = photo()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(POST + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")  # the request has begun
        process.send_signal(signal.SIGTERM)
        connection.sendall(body)
        text = read_all(connection)
    assert text.startswith(b"HTTP/1.1 200 ") and b'"label": "red"' in text
    assert process.wait(20) == 0
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_without_an_error(bundle: Path, number: signal.Signals) -> None:
    with server.listening("127.0.0.1", 0) as bound, running(ServeOptions(str(bundle), workers=1)) as service:
        server.run(service, bound, lambda: signal.raise_signal(number))
    gc.unfreeze()


SERVING_IMPORTS = """
import sys
from raytl.serving import options, running, server
from raytl.serving.app import Application
with running.running(options.ServeOptions(sys.argv[1])) as service:
    Application(service)
    print("loaded:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_serving_imports_neither_torch_nor_ray(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVING_IMPORTS, str(bundle)],
        env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.partition("loaded:")[2].split())
    assert {"onnxruntime", "uvicorn", "starlette"} <= loaded
    assert not loaded & {
        "torch",
        "torchvision",
        "timm",
        "ray",
        "scipy",
        "pandas",
        "pyarrow",
        "matplotlib",
        "boto3",
        "optuna",
    }


@pytest.mark.parametrize(
    "sent",
    [
        b"no HTTP at all\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_counted_and_not_logged(
    on_socket: Callable[..., Running], caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    running = on_socket()
    with running.connect() as connection:
        connection.sendall(sent)
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
    assert 'raytl_requests_total{code="400",path="connection"} 1' in running.service.metrics()
    assert not caplog.records
