"""The application on uvicorn, until a signal: requests that have begun are finished first."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from raytl.errors import RaytlError
from raytl.serving.app import Application
from raytl.serving.guard import guarded
from raytl.serving.service import Service

_BACKLOG = 2048


class PortError(RaytlError):
    """The address cannot be listened on."""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens; port 0 chooses a free one.

    Raises:
        PortError: the port is in use, or the host is not an address of this machine.
    """
    with contextlib.ExitStack() as stack:
        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            bound = stack.enter_context(socket.socket(*address[:2]))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address[4])
            bound.listen(_BACKLOG)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PortError(
                f"{host}:{port}: cannot listen there ({reason}); expected a free port of this machine. Choose another with --port"
            ) from error
        yield bound


def run(service: Service, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what has begun, for `drain_s` at most."""
    gc.collect()
    gc.freeze()  # what the imports left is never garbage: each collection is shorter
    with _stoppable():
        server_of(service, on_ready).run(sockets=[bound])


def server_of(service: Service, on_ready: Callable[[], None]) -> Server:
    """Return the server of a service, not running yet."""
    limits = service.options.limits
    config = uvicorn.Config(
        Application(service),
        http=guarded(limits, service.counters.refused_connection),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        log_level="critical",  # uvicorn logs each malformed request and unread response: any client could fill the log
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(limits.head_s),
        timeout_graceful_shutdown=int(limits.drain_s),
        lifespan="off",
    )
    return Server(config, on_ready)


class Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let a drained server end normally: uvicorn raises the signal again that stopped it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
