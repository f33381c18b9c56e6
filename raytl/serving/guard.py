"""Connections within limits, below the application: their number, the size of a head, the time for one, and that for a response.

uvicorn waits without end for the head of a request and for a client to read its response, keeps all headers after a chunked body
and all requests that a client sends before it has an answer, and counts no connections: a few clients that send or read a byte a
minute would take all of its file descriptors, and one that sends much all of its memory.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from raytl.serving.options import Limits

MAX_HEAD_BYTES = 32 << 10
MAX_HEADERS = 100
MAX_AHEAD = 16
"""Requests that a client may send on a connection before it has an answer."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class OnRefused(Protocol):
    """Counts a connection that was refused, by its status."""

    def __call__(self, status: int) -> None:
        """Count it."""
        ...


class _Refused(Exception):
    """Ends the parsing of a request that is refused."""


class GuardedConnection(HttpToolsProtocol):
    """A connection that is closed if no complete head arrives in time, if its client does not read, or if there are too many."""

    def __init__(self, limits: Limits, on_refused: OnRefused, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits, self._on_refused = limits, on_refused
        self._timer: TimerHandle | None = None
        """Closes the connection: without a head, or later without a client that reads what is left."""
        self._unread_timer: TimerHandle | None = None
        self._is_in_head, self._head_bytes, self._parsed_bytes = True, 0, 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, _FULL)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _cancel(self._timer)
        _cancel(self._unread_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse more of a request, unless its head, or the headers after its body, are too long."""
        if self.transport.is_closing():
            return
        self._is_in_head = True
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, _LONG)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and count it; nothing if it is refused already."""
        if not self.transport.is_closing():
            self._on_refused(400)
            super().send_400_response(msg)

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._check_length(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head, or one after a chunked body."""
        self._check_length(name, value)
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431, _LONG)
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, unless too many before it have no answer yet."""
        if len(self.pipeline) >= MAX_AHEAD:
            self._refuse(503, _FULL)
            raise _Refused
        self._leave_head()
        _cancel(self._timer)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._leave_head()
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next head, or for the client to read the last response."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif self.cycle.response_complete:  # no other request has begun
            self._await_head()

    def pause_writing(self) -> None:
        """Wait until the client reads what was sent, for as long as it has for the body of a request."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self._limits.body_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        _cancel(self._unread_timer)
        super().resume_writing()

    def _await_head(self) -> None:
        _cancel(self._timer)
        self._leave_head()
        self._timer = self.loop.call_later(self._limits.head_s, self._close)

    def _check_length(self, *parts: bytes) -> None:
        """Refuse a head that came complete in one read, which `data_received` does not count."""
        self._parsed_bytes += sum(map(len, parts))
        if self._parsed_bytes > MAX_HEAD_BYTES:
            self._refuse(431, _LONG)
            raise _Refused

    def _leave_head(self) -> None:
        self._is_in_head, self._head_bytes, self._parsed_bytes = False, 0, 0

    def _close(self) -> None:
        """Close the connection once the client has read what was sent, or after a while."""
        _cancel(self._timer)
        self.transport.close()
        self._timer = self.loop.call_later(self._limits.body_s, self.transport.abort)

    def _refuse(self, status: int, response: bytes) -> None:
        self._on_refused(status)
        cycle: RequestResponseCycle | None = self.cycle
        has_begun = cycle is not None and cycle.response_started and not cycle.response_complete
        if not (has_begun or self.pipeline):
            self.transport.write(response)
        self._close()


def _cancel(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def guarded(limits: Limits, on_refused: OnRefused) -> Callable[..., GuardedConnection]:
    """Return what makes a guarded connection, for uvicorn."""
    return partial(GuardedConnection, limits, on_refused)
