"""A program that downloads many objects at a time over persistent connections; `fetch_workers` starts several.

It imports only the standard library, and `ssl` only where it is needed, so it starts in about 25 ms. It holds no secret: requests arrive signed. It reads frames
of jobs from standard input, and writes frames of results to standard output. A job succeeds only with a plain 200 response that
has the listed length and ETag, and whose bytes match its checksum (see `checksums`), if it has one; without a listing, only with
a length and bytes that match the SHA-256 of the job. boto3 then
fetches failed jobs again and reports their errors.
"""

from __future__ import annotations

import marshal
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from raytl.store import checksums

if TYPE_CHECKING:
    import ssl

Job: TypeAlias = tuple[int, bytes, str, int, str, str]
"""Job number, request, file to write, listed size, listed ETag, and SHA-256; without a listing, size -1 and no ETag."""
Done: TypeAlias = tuple[int, int, str]
"""Job number, size and ETag; size -1 if it failed."""

_BUFFER_BYTES = 1 << 20
_HEAD_BYTES = 1 << 15
_MAX_DIGITS = 15
_REPORT_EVERY_S = 0.05
_REPORT_COUNT = 32


def send(file: int, content: Any) -> None:
    """Write one frame to a file descriptor."""
    body = marshal.dumps(content)
    frame = memoryview(struct.pack("<I", len(body)) + body)
    while frame:
        frame = frame[os.write(file, frame) :]


def receive(file: int) -> Any:
    """Return the next frame; None at the end of the input."""
    head = _read(file, 4)
    body = head and _read(file, struct.unpack("<I", head)[0])
    return marshal.loads(body) if body else None  # noqa: S302 - from the process that started this one


def _read(file: int, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(file, count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


class Failed(Exception):
    """The connection is unusable and its job failed."""


class Download:
    """An object being downloaded: a temporary file until it is whole."""

    def __init__(self, job: Job, head: bytes, part: str) -> None:
        status, _, rest = head.partition(b"\r\n")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in rest.decode("latin-1").split("\r\n"))
        }
        self.etag, length = fields.get("etag", "").strip('"'), fields.get("content-length", "")
        is_listed = job[3] >= 0
        if status.split(b" ")[1:2] != [b"200"] or (is_listed and (length, self.etag) != (str(job[3]), job[4])):
            raise Failed("differs from the listing")
        if not (length.isascii() and length.isdecimal() and len(length) <= _MAX_DIGITS):
            raise Failed("has no length")
        if "transfer-encoding" in fields:  # a chunked body has no fixed length
            raise Failed("length differs from the listing")
        self.size = self.left = int(length)
        self.last = fields.get("connection", "").lower() == "close"
        self._checksum = checksums.announced(fields) if is_listed else checksums.sha256(job[5])
        self._final, self._part = job[2], f"{job[2].rpartition('/')[0]}/{part}"
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def add(self, content: memoryview) -> None:
        """Write a chunk of the body."""
        self.left -= len(content)
        if self.left < 0:
            raise Failed("more bytes arrived than announced")
        if self._checksum is not None:
            self._checksum[0].update(content)
        while content:
            content = content[os.write(self._file, content) :]

    def finish(self) -> None:
        """Rename the file to its final name, if its bytes match their checksum."""
        if self._checksum is not None and self._checksum[0].digest() != self._checksum[1]:
            raise Failed("bytes do not match their checksum")
        os.close(self._file)
        self._file = -1
        os.rename(self._part, self._final)  # noqa: PTH104 - a path object costs as much as the call

    def drop(self) -> None:
        """Remove the partial file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if os.path.lexists(self._part):
            os.unlink(self._part)  # noqa: PTH108


class Connection:
    """A socket (connecting, busy or idle) and its current job."""

    def __init__(self, fetch_worker: FetchWorker, job: Job) -> None:
        self.fetch_worker, self.last_activity = fetch_worker, fetch_worker.now
        self.job: Job | None = job
        self.download: Download | None = None
        self.head, self.fresh, self.open = bytearray(), True, False
        self.address = fetch_worker.addresses[fetch_worker.opened % len(fetch_worker.addresses)]
        self.socket = socket.socket(*self.address[:3])
        self.socket.setblocking(False)
        self.socket.connect_ex(self.address[4])
        fetch_worker.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def ready(self, buffer: memoryview) -> None:
        """Handle the socket's readiness."""
        self.last_activity = self.fetch_worker.now
        if not self.open and not self._connect():
            return
        while True:
            try:
                received = self.socket.recv_into(buffer)
            except self.fetch_worker.not_ready:
                return
            self._take(buffer[:received])
            if self.job is None or self.fetch_worker.tls is None:  # TLS may have buffered more
                return

    def send_request(self, job: Job) -> None:
        """Send the request of a job."""
        self.job, self.last_activity = job, self.fetch_worker.now
        self.socket.sendall(job[1])

    def close(self) -> None:
        """Close the socket, and remove the partial file of an unfinished job."""
        self.fetch_worker.selector.unregister(self.socket)
        self.socket.close()
        if self.download is not None:
            self.download.drop()

    def _connect(self) -> bool:
        """Return whether the connection is established; if so, send the first request."""
        self.socket.getpeername()  # raises OSError if connecting failed
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.fetch_worker.tls is not None and not self._handshake():
            return False
        self.open = True
        self.fetch_worker.selector.modify(self.socket, selectors.EVENT_READ, self)
        assert self.job is not None
        self.send_request(self.job)
        return True

    def _handshake(self) -> bool:
        import ssl

        assert self.fetch_worker.tls is not None
        if not isinstance(self.socket, ssl.SSLSocket):
            self.socket = self.fetch_worker.tls.wrap_socket(
                self.socket,
                server_hostname=self.fetch_worker.host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self.fetch_worker.selector.modify(self.socket, selectors.EVENT_READ, self)
            return False
        except ssl.SSLWantWriteError:
            self.fetch_worker.selector.modify(self.socket, selectors.EVENT_WRITE, self)
            return False
        return True

    def _take(self, received: memoryview) -> None:
        if not received or self.job is None:
            raise Failed("connection closed by the server")
        if self.download is None:
            body = self._after_head(received)
            if body is None:
                return
            received = body
        assert self.download is not None
        self.download.add(received)
        if not self.download.left:
            self.download.finish()
            self.fetch_worker.done.append((self.job[0], self.download.size, self.download.etag))
            self.fetch_worker.completed += 1
            last, self.job, self.download, self.fresh = self.download.last, None, None, False
            if last:
                raise Failed("the server closes the connection after this response")

    def _after_head(self, received: memoryview) -> memoryview | None:
        """Parse the response head; return the bytes of the body after it, or None while the head is incomplete."""
        assert self.job is not None
        before = len(self.head)
        self.head += received[:_HEAD_BYTES]
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            if len(self.head) >= _HEAD_BYTES:
                raise Failed("response head is too long")
            return None
        self.download = Download(self.job, bytes(self.head[:end]), f".part.{os.urandom(4).hex()}.tmp")
        self.head.clear()
        return received[end + 4 - before :]


class FetchWorker:
    """Up to `limit` connections to one host, opened as objects arrive, and a queue of jobs."""

    def __init__(self, host: str, port: int, cafile: str | None, limit: int, idle_timeout_s: float) -> None:
        self.host, self.limit, self.idle_timeout_s = host, limit, idle_timeout_s
        self.addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.tls: ssl.SSLContext | None = None
        self.not_ready: tuple[type[OSError], ...] = (BlockingIOError,)
        if cafile is not None:
            self.tls, self.not_ready = _tls(cafile)
        self.selector = selectors.DefaultSelector()
        self.waiting: deque[Job] = deque()
        self.done: list[Done] = []
        self.idle: list[Connection] = []
        self.all: set[Connection] = set()
        self.opened, self.completed, self.now, self.reported = 0, 0, time.monotonic(), 0.0

    def run(self) -> None:
        """Run jobs until the input ends, which happens at once if the parent is killed; leave no partial file."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            self._run()
        finally:
            for connection in self.all:
                connection.close()

    def _run(self) -> None:
        self.selector.register(0, selectors.EVENT_READ)
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        while True:
            events = self._ready()
            self.now = time.monotonic()
            for key, _ in events:
                if key.data is not None:
                    self._handle(key.data, buffer)
                elif (jobs := receive(0)) is not None:
                    self.waiting += jobs
                else:
                    return
            self._dispatch()
            if len(events) == 0 or self.now - self.reported > 1.0:
                self._drop_stalled()
            self._report()

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for ready sockets. SIGTERM is handled only here: elsewhere a partial file may be open."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            return self.selector.select(_REPORT_EVERY_S if self.done else 1.0)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _handle(self, connection: Connection, buffer: memoryview) -> None:
        try:
            connection.ready(buffer)
        except (Failed, OSError):
            self._end(connection)
        else:
            if connection.job is None and connection not in self.idle:  # TLS sends tickets and keys on idle connections
                self.idle.append(connection)

    def _dispatch(self) -> None:
        open_ = min(self.limit, self.limit // 4 + self.completed)  # ramp up, so that a slow store is not flooded
        while self.waiting and (self.idle or len(self.all) < open_):
            job = self.waiting.popleft()
            if not self.idle:
                self.all.add(Connection(self, job))
                self.opened += 1
                continue
            connection = self.idle.pop()
            try:
                connection.send_request(job)
            except OSError:
                self._end(connection)

    def _end(self, connection: Connection) -> None:
        """Close a connection. Requeue its job if a reused connection ended before the response began."""
        if connection in self.idle:
            self.idle.remove(connection)
        is_retryable = not connection.fresh and connection.download is None and not connection.head
        connection.close()
        self.all.discard(connection)
        if connection.job is not None:
            if not connection.open and self.addresses != [connection.address]:  # the host has other addresses
                self.addresses = [address for address in self.addresses if address != connection.address]
                is_retryable = True
            if is_retryable:
                self.waiting.appendleft(connection.job)
            else:
                self.done.append((connection.job[0], -1, ""))

    def _drop_stalled(self) -> None:
        for connection in [one for one in self.all if one.job and self.now - one.last_activity > self.idle_timeout_s]:
            connection.fresh = True  # do not requeue: the server had received the request
            self._end(connection)

    def _report(self) -> None:
        if self.done and (len(self.done) >= _REPORT_COUNT or self.now - self.reported >= _REPORT_EVERY_S):
            send(1, self.done)
            self.done, self.reported = [], self.now


def _tls(cafile: str) -> tuple[ssl.SSLContext, tuple[type[OSError], ...]]:
    """Return the context of TLS connections, and the errors of sockets that have no bytes yet."""
    import ssl  # takes as long as all other imports but one

    return ssl.create_default_context(cafile=cafile), (BlockingIOError, ssl.SSLWantReadError)


def main() -> None:
    """Run a worker with the settings in the first frame: the folder of awscrt (empty: none), and the arguments of `FetchWorker`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; this process ends with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(BrokenPipeError):
        awscrt, *settings = receive(0)
        if awscrt:
            checksums.use_awscrt(awscrt)
        FetchWorker(*settings).run()
