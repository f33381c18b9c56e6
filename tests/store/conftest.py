"""A real S3 server of this machine, and every kind of store over one suite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from raytl.store import s3
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store

_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of moto's server, on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_client(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A plain client of the server, which is also what raytl finds in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    s3.forget_client()
    client = boto3.client("s3", endpoint_url=s3_server)
    yield client
    client.close()
    s3.forget_client()


@pytest.fixture
def bucket(s3_client: Any) -> str:
    """An empty bucket."""
    name = f"bucket-{next(_NUMBER)}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "memory":
        return open_store(f"memory://{tmp_path}")
    return open_store(f"s3://{request.getfixturevalue('bucket')}/some prefix")
