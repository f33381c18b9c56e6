"""A proxy between boto3 and a store that injects the faults of networks and stores on demand."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_CONDITIONS = ("If-Match", "If-None-Match")
_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Request:
    """A client's request: its number (from 0), its method, and its path with the query."""

    number: int
    method: str
    path: str

    @property
    def is_get(self) -> bool:
        """True for an object's bytes."""
        return self.method == "GET" and "list-type" not in self.path


@dataclass
class Answer:
    """The store's response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Fault = Callable[["Proxy", "_Handler", Callable[[], Answer]], None]
"""Responds in place of the store; the last argument forwards the request."""


class Proxy(ThreadingHTTPServer):
    """Passes requests to `upstream`; `fault` is applied to those for which `chosen` is true."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.fault: Fault = passed
        self.chosen: Callable[[Request], bool] = lambda _: False
        self.requests: Counter[str] = Counter()
        self.done = 0
        self.sent = 0
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self.server_port}"

    def do(self, fault: Fault, chosen: Callable[[Request], bool]) -> None:
        """Apply `fault` to the requests that are `chosen`, from now on."""
        self.fault, self.chosen, self.done = fault, chosen, 0

    def numbered(self, method: str, path: str) -> Request:
        """Count and return the request."""
        with self._counting:
            number = self.requests.total()
            self.requests[f"{method} {path.split('?')[0]}"] += 1
        return Request(number, method, path)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up."""


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Run a proxy in a thread."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def fraction(rate: float, seed: int = 0) -> Callable[[Request], bool]:
    """Return a random choice of that fraction of the requests."""
    draw, drawing = random.Random(seed), threading.Lock()

    def chosen(_: Request) -> bool:
        with drawing:
            return draw.random() < rate

    return chosen


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_GET(self) -> None:
        request = self.server.numbered(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def ask() -> Answer:
            connection = http.client.HTTPConnection(self.server.upstream.hostname or "", self.server.upstream.port)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                return Answer(answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()

        if self.server.chosen(request):
            self.server.done += 1
            self.server.fault(self.server, self, ask)
        else:
            passed(self.server, self, ask)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def head(self, answer: Answer) -> None:
        """Send the head."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in answer.headers):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def send(self, answer: Answer) -> None:
        """Send the answer as it is."""
        self.head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def hang_up(self, reset: bool) -> None:
        """End the connection, with a reset or in an orderly way."""
        self.wfile.flush()
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def passed(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Forward the request and the response unchanged."""
    handler.send(ask())


def error(status: int, code: str) -> Fault:
    """Respond with an error of the store."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()

    def answer(_: Proxy, handler: _Handler, __: Callable[[], Answer]) -> None:
        handler.send(Answer(status, [("Content-Type", "application/xml")], body))

    return answer


def unconditional(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Ignore conditions."""
    for name in _CONDITIONS:
        del handler.headers[name]
    handler.send(ask())


def refused_if_conditional(proxy: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Reject conditional requests as not implemented."""
    is_conditional = any(name in handler.headers for name in _CONDITIONS)
    (error(501, "NotImplemented") if is_conditional else passed)(proxy, handler, ask)


def refused_if_checked(status: int) -> Fault:
    """Reject requests for checksums."""

    def answer(proxy: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
        is_refused = "x-amz-checksum-mode" in handler.headers
        (error(status, "InvalidArgument") if is_refused else passed)(proxy, handler, ask)

    return answer


def wrong_checksum(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Send the CRC32 of other bytes to requests for checksums."""
    answer = ask()
    if "x-amz-checksum-mode" in handler.headers:
        others = [(name, value) for name, value in answer.headers if "checksum" not in name.lower()]
        answer.headers = [*others, ("x-amz-checksum-crc32", "AAAAAA==")]
    handler.send(answer)


def reset_before(_: Proxy, handler: _Handler, __: Callable[[], Answer]) -> None:
    """Reset the connection instead of a response."""
    handler.hang_up(reset=True)


def reset_within(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Reset the connection in the middle of the body."""
    answer = ask()
    handler.head(answer)
    handler.wfile.write(answer.body[: len(answer.body) // 2])
    handler.hang_up(reset=True)


def truncated(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """End the body before its announced length."""
    answer = ask()
    handler.head(answer)
    handler.wfile.write(answer.body[: len(answer.body) // 2])
    handler.hang_up(reset=False)


def wrong_bytes(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
    """Change one byte of the body."""
    answer = ask()
    if answer.body:
        place = random.randrange(len(answer.body))
        changed = bytes([answer.body[place] ^ (1 + random.randrange(255))])
        answer.body = answer.body[:place] + changed + answer.body[place + 1 :]
    handler.send(answer)


def endless(max_bytes: int) -> Fault:
    """Send a body without a length, until the client hangs up or `max_bytes` are sent."""

    def flow(proxy: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
        answer = ask()
        answer.headers = [pair for pair in answer.headers if pair[0].lower() != "content-length"]
        handler.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _HOP:
                handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(answer.body)
        chunk = bytes(1 << 16)
        for _ in range(max_bytes // len(chunk)):
            handler.wfile.write(chunk)
            proxy.sent += len(chunk)

    return flow


def stalled(seconds: float) -> Fault:
    """Send half of the body, then nothing for `seconds`."""

    def stall(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
        answer = ask()
        handler.head(answer)
        handler.wfile.write(answer.body[: len(answer.body) // 2])
        handler.wfile.flush()
        threading.Event().wait(seconds)
        handler.hang_up(reset=True)

    return stall


def dripping(seconds: float) -> Fault:
    """Send the body slowly, over `seconds`."""

    def drip(_: Proxy, handler: _Handler, ask: Callable[[], Answer]) -> None:
        answer = ask()
        handler.head(answer)
        size = max(1, len(answer.body) // 10)
        for start in range(0, len(answer.body), size):
            handler.wfile.write(answer.body[start : start + size])
            handler.wfile.flush()
            threading.Event().wait(seconds / 10)

    return drip
