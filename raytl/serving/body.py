"""A request's body, read within limits of bytes and time: what its headers say about the length is not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from raytl.serving.options import Limits
from raytl.serving.refusal import Refusal, busy

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_LINGER_S = 10.0
_LINGER_BYTES = 1 << 30


class Gone(Exception):
    """The client disconnected before its request was complete."""


class Bodies:
    """The bodies in memory, which share a budget; one for each event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held_bytes = limits, 0

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytearray:
        """Return the body; the caller releases its bytes when it is done with them.

        Raises:
            Refusal: 413 too large, 408 too slow, 400 shorter than announced, 503 too many bodies at once.
            Gone: the client left.
        """
        announced = _announced(headers)
        if announced is not None and announced > self.limits.max_bytes:
            raise _too_large(announced, self.limits)
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_s):
                await self._fill(body, receive)
        except TimeoutError:
            self.release(len(body))
            raise Refusal(
                408, f"{len(body):,} bytes arrived in {self.limits.body_s:g} s; expected the whole body"
            ) from None
        except BaseException:
            self.release(len(body))
            raise
        if announced is not None and len(body) != announced:
            self.release(len(body))
            raise Refusal(400, f"{len(body):,} bytes arrived; Content-Length says {announced:,}")
        return body

    def hold(self, count: int) -> None:
        """Take `count` bytes of the budget.

        Raises:
            Refusal: 503, it has fewer left.
        """
        if self.held_bytes + count > self.limits.memory_bytes:
            raise busy(1, "too many uploads at once; retry later")
        self.held_bytes += count

    def release(self, count: int) -> None:
        """Return `count` bytes to the budget."""
        self.held_bytes -= count

    async def _fill(self, body: bytearray, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > self.limits.max_bytes:
                raise _too_large(len(body) + len(chunk), self.limits)
            self.hold(len(chunk))
            body += chunk
            if not message.get("more_body", False):
                return


async def discard(receive: Receive) -> None:
    """Read what is left of a body for a few seconds, so that a client that still sends can read why it was refused."""
    count = 0
    with suppress(TimeoutError, Gone):
        async with asyncio.timeout(_LINGER_S):
            while count < _LINGER_BYTES:
                message = await receive()
                count += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _announced(headers: Mapping[bytes, bytes]) -> int | None:
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 15:
        raise Refusal(400, "Content-Length: expected a number of bytes")
    return int(text)


def _too_large(count: int, limits: Limits) -> Refusal:
    return Refusal(413, f"the body has {count:,} bytes or more; expected {limits.max_bytes:,} at most")
