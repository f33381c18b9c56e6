"""A fetch worker downloads objects whose sizes and ETags are unknown, and verifies their SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from raytl.store.contract import UNKNOWN, ObjectInfo
from raytl.store.fetch_workers import Wanted, download
from tests.store.test_fetch_workers import Objects, serving


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
