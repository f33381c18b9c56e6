"""Connections within limits, below the application: their number, the size of a head, and the time for one.

uvicorn waits for the head of a request without end, and counts no connections; a few thousand that send a byte a minute would
take all of its file descriptors.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from raytl.serving.options import Limits

MAX_HEAD_BYTES = 32 << 10
_FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class OnRefused(Protocol):
    """Counts a connection that was refused, by its status."""

    def __call__(self, status: int) -> None:
        """Count it."""
        ...


class GuardedConnection(HttpToolsProtocol):
    """A connection that is closed if no complete head arrives in time, or if there are too many."""

    def __init__(self, limits: Limits, on_refused: OnRefused, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits, self._on_refused = limits, on_refused
        self._head_timer: TimerHandle | None = None
        self._is_in_head, self._head_bytes = True, 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, _FULL)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse more of a request, unless its head is too long."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, _LONG)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and count it."""
        self._on_refused(400)
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End a head."""
        self._is_in_head = False
        self._forget_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        super().on_response_complete()
        if not self.pipeline and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._forget_timer()
        self._is_in_head, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(self._limits.head_s, self.transport.close)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, response: bytes) -> None:
        self._on_refused(status)
        self.transport.write(response)
        self.transport.close()


def guarded(limits: Limits, on_refused: OnRefused) -> Callable[..., GuardedConnection]:
    """Return what makes a guarded connection, for uvicorn."""
    return partial(GuardedConnection, limits, on_refused)
