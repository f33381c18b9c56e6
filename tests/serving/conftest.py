"""A bundle, a service on it, and a client that needs no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from raytl.serving.app import Application
from raytl.serving.options import ServeOptions
from raytl.serving.running import running
from raytl.serving.service import Service
from tests.serving.bundles import write_bundle

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that answers by colour."""
    return write_bundle(tmp_path / "colours")


class Client:
    """Sends requests to the application of a service in this process."""

    def __init__(self, service: Service, client: str = "127.0.0.1") -> None:
        self.service, self._address = service, client

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """The response, and its JSON."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(Application(self.service), client=(self._address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **given)

        return asyncio.run(ask())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.send("GET", path, **given)

    def post(self, path: str, content: bytes | None = None, kind: str = "image/jpeg", **given: Any) -> httpx.Response:
        headers = ({"content-type": kind} if content is not None else {}) | given.pop("headers", {})
        return self.send("POST", path, content=content, headers=headers, **given)


@pytest.fixture
def serving(bundle: Path) -> Iterator[Callable[..., Client]]:
    """Makes a client of a new service with these options."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(client: str = "127.0.0.1", observer: Any = None, **changes: Any) -> Client:
            options = replace(ServeOptions(str(bundle), workers=2), **changes)
            return Client(stack.enter_context(running(options, observer)), client)

        yield make
