"""A fetch worker downloads objects whose sizes and ETags are unknown, and verifies their SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from raytl.store.contract import UNKNOWN, ObjectInfo
from raytl.store.fetch_worker import FetchWorker, Job
from raytl.store.fetch_workers import Wanted, download
from tests.store.test_fetch_workers import Objects, serving


class IdleConnection:
    """A connection that becomes readable without bytes of a response, as with TLS tickets."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.sent: list[Job] = []

    def ready(self, _: memoryview) -> None:
        """Read nothing."""

    def send_request(self, job: Job) -> None:
        assert self.job is None, "another request is under way"
        self.job = job
        self.sent.append(job)


def test_a_connection_that_becomes_readable_without_a_response_gets_one_request() -> None:
    worker, connection = FetchWorker("127.0.0.1", 80, None, 1, 1.0), IdleConnection()
    worker.all.add(connection)  # type: ignore[arg-type]
    for _ in range(2):
        worker._handle(connection, memoryview(bytearray(8)))  # type: ignore[arg-type]
    jobs: list[Job] = [(number, b"GET", "file", 1, "etag", "") for number in range(2)]
    worker.waiting += jobs
    worker._dispatch()
    assert connection.sent == jobs[:1]
    assert list(worker.waiting) == jobs[1:]


@pytest.mark.parametrize("digested", [b"", b"other bytes"])
def test_objects_that_were_not_listed_are_verified_by_their_sha256(tmp_path: Path, digested: bytes) -> None:
    objects = Objects({f"{i}.jpg": bytes([i]) * size for i, size in enumerate((0, 1, 15_000, 3 << 20) * 5)})
    unlisted = []
    for key, body in objects.content.items():
        sha256 = hashlib.sha256(digested or body).hexdigest()
        unlisted.append(Wanted(ObjectInfo(key, UNKNOWN, "", sha256=sha256), key, str(tmp_path / key)))
    with serving(objects) as route:
        came = list(download(route, lambda: None, unlisted, 0.5))
    expected = (
        [] if digested else [ObjectInfo(key, len(body), objects.etag(key)) for key, body in objects.content.items()]
    )
    assert sorted(came, key=lambda info: info.key) == sorted(expected, key=lambda info: info.key)
    assert {path.name for path in tmp_path.iterdir()} == {info.key for info in expected}
