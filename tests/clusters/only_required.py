"""Serve a bundle in a Python that has only the packages of clusters/serve-requirements.txt and what they need.

Prints `unused:` and the packages of the list that nothing imported.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

LIST = Path(__file__).resolve().parents[2] / "clusters" / "serve-requirements.txt"
_OURS = {"raytl", "tests"}


def required() -> list[str]:
    """The packages of the list."""
    return [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Sequence[str]) -> set[str]:
    """The packages with all that they need, without extras."""
    from packaging.requirements import Requirement

    waiting, reached = [normalized(name) for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        try:
            needed = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        waiting += [normalized(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return reached


class Refusing(MetaPathFinder):
    """Refuses modules of other packages, as if those were not installed."""

    def __init__(self, allowed: set[str]) -> None:
        self.owners = {module: set(map(normalized, owners)) for module, owners in packages_distributions().items()}
        self.allowed = allowed

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        module = name.partition(".")[0]
        if module not in _OURS and module in self.owners and not self.owners[module] & self.allowed:
            raise ModuleNotFoundError(f"No module named {name!r} in the image", name=name)


async def ask(app: Any, method: str, path: str, body: bytes = b"", kind: str = "image/jpeg") -> int:
    """The status of a request."""
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "headers": [(b"content-type", kind.encode())],
        "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return int(sent[0]["status"])


def main(folder: str) -> None:
    """Serve the bundle in `folder`, and ask every kind of endpoint."""
    refusing = Refusing(closure(required()))
    sys.meta_path.insert(0, refusing)
    import_module("raytl.cli.main")  # the command of the image
    from raytl.serving import server
    from raytl.serving.app import Application
    from raytl.serving.options import ServeOptions
    from raytl.serving.running import running
    from raytl.store.s3 import client
    from raytl.uris import S3

    client()  # of a bucket, such as of a registry
    photo = Path(folder, "photo.jpg").read_bytes()
    form = b'--b\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n' + photo + b"\r\n--b--\r\n"
    with running(ServeOptions(folder, allow=(f"{S3}b/p",))) as service, server.listening("127.0.0.1", 0):
        app, config = Application(service), server.server_of(service, lambda: None).config
        config.load()
        config.get_loop_factory()
        asked = [
            asyncio.run(ask(app, *words))  # type: ignore[arg-type]
            for words in (
                ("POST", "/predict", photo),
                ("POST", "/predict", form, "multipart/form-data; boundary=b"),
                ("GET", "/docs"),
            )
        ]
    assert asked == [200, 200, 200], asked
    loaded = {
        owner
        for module in {name.partition(".")[0] for name in sys.modules}
        for owner in refusing.owners.get(module, ())
    }
    print("unused:", *sorted(set(required()) - loaded))


if __name__ == "__main__":
    main(sys.argv[1])
