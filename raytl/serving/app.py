"""The ASGI application: the endpoints of a server, and around them access, counting, and refusals as JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from raytl.errors import first_line
from raytl.serving.access import header_map
from raytl.serving.body import Gone, discard
from raytl.serving.endpoints import Endpoints, route_label, router
from raytl.serving.refusal import Refusal
from raytl.serving.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class Application:
    """An ASGI application; `service` has its state. `on_end` is called when the server that runs it ends."""

    def __init__(self, service: Service, on_end: Callable[[], None] = lambda: None) -> None:
        self.service, self._on_end = service, on_end
        self._router = router(Endpoints(service))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":  # websockets
            await send({"type": "websocket.close", "code": 1003})
            return
        scope["app"] = self  # Starlette raises 404 and 405 then
        began, exchange = time.perf_counter(), _Exchange(receive, send)
        try:
            await self._answer(scope, exchange)
        finally:
            if exchange.status:
                label = route_label(scope["path"])
                self.service.counters.request(label, exchange.status, (exchange.ended or time.perf_counter()) - began)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self._on_end()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            scope["raytl.headers"] = headers = header_map(scope["headers"])
            self.service.access.check(scope["path"], headers, (scope.get("client") or ("",))[0])
            await self._router(scope, exchange.receive, exchange.send)
        except Gone:
            exchange.status = 499  # nginx's number for a client that left
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except HTTPException as error:
            await exchange.refuse(Refusal(error.status_code, error.detail, error.headers))
        except Exception as error:
            if exchange.status:  # everything was computed before the response began: its client left
                logging.getLogger("raytl").debug("a response was not sent: %s", first_line(error)[:300])
                return
            logging.getLogger("raytl").exception("a request failed: %s", first_line(error)[:300])
            await exchange.refuse(Refusal(500, "internal error; see the log of the server"))


class _Exchange:
    """A request and its response, with the status that was sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.status, self.is_read = 0, False
        self.ended = 0.0
        """When a refusal was sent, by `time.perf_counter`: what its client still sends is no part of the request's time."""

    async def receive(self) -> Message:
        message = await self._receive()
        self.is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send why the request is refused; what the client still sends is read and dropped, so that it reads the answer."""
        if self.status:  # the response has begun
            return
        body = json.dumps({"error": refusal.reason}).encode()
        headers = [*_HEADERS, (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
        if not self.is_read:
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": not self.is_read})
        self.ended = time.perf_counter()
        if not self.is_read:
            await discard(self.receive)
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
