"""Fixtures for every kind of store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from raytl.store import s3
from raytl.store.contract import ObjectStore
from raytl.store.open import open_store
from tests.conftest import S3, SWIFT
from tests.store import proxy as faults
from tests.store.proxy import Proxy, proxied

LAX = pytest.param("lax_bucket", marks=[pytest.mark.s3, pytest.mark.thorough], id="s3-ignoring-conditions")
STERN = pytest.param("stern_bucket", marks=pytest.mark.s3, id="s3-rejecting-conditions")


@pytest.fixture(params=["local", "memory", S3, LAX, STERN, SWIFT])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "memory":
        return open_store(f"memory://{tmp_path}")
    return open_store(f"s3://{request.getfixturevalue(request.param)}/some prefix")


def fill(server: str, bucket: str, content: Mapping[str, bytes]) -> None:
    """Create a bucket with these objects, for tests that share it."""
    client = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket=bucket)
    for key, body in content.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    client.close()


@pytest.fixture
def before_s3(s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server, to which raytl connects instead."""
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        yield proxy


@pytest.fixture
def lax_bucket(before_s3: Proxy, bucket: str) -> str:
    """A bucket of a store that ignores conditions."""
    before_s3.do(faults.unconditional, lambda _: True)
    return bucket


@pytest.fixture
def stern_bucket(before_s3: Proxy, bucket: str) -> str:
    """A bucket of a store that rejects conditional requests."""
    before_s3.do(faults.refused_if_conditional, lambda _: True)
    return bucket
