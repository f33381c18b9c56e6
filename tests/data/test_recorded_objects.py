"""A node downloads the objects of recorded samples without listing their bucket, where the samples say enough."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytl.data.formats import scan
from raytl.data.local_paths import on_this_node
from raytl.data.manifest import Sample
from raytl.data.sample_table import SampleTable
from raytl.store import s3
from raytl.store.audited import audited_name
from raytl.store.cache import cache_root
from raytl.store.sync import pull
from tests.store.proxy import Proxy, proxied

pytestmark = pytest.mark.s3
PER_CLASS = 8
"""Images, of three classes: most come by worker processes."""
KINDS = ["prefix", "manifest", "uris"]


@pytest.fixture
def store(s3_server: str, bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A server that counts requests."""
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        s3.forget_client()
        yield proxy


@pytest.fixture
def uploaded(make_photos: Callable[..., Path], bucket: str, s3_client: Any) -> str:
    """Images below `data/`, and two manifests of them: by key and by URI."""
    source = make_photos(PER_CLASS)
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.jpg"))
    for name in names:
        s3_client.put_object(Bucket=bucket, Key=f"data/photos/é/{name}", Body=(source / name).read_bytes())
    for table, base in (("keys", "photos/é"), ("uris", f"s3://{bucket}/data/photos/é")):
        rows = "".join(f"{base}/{name},{name.partition('/')[0]}\n" for name in names)
        s3_client.put_object(Bucket=bucket, Key=f"data/{table}.csv", Body=f"path,label\n{rows}".encode())
    return f"s3://{bucket}/data"


def uri_of(kind: str, uploaded: str) -> str:
    return {"prefix": f"{uploaded}/photos/é", "manifest": f"{uploaded}/keys.csv", "uris": f"{uploaded}/uris.csv"}[kind]


def recorded(uri: str) -> SampleTable:
    """Return the samples as a run records them: with the SHA-256 of their bytes."""

    def digested(sample: Sample) -> Sample:
        return replace(sample, digest=hashlib.sha256(Path(sample.path).read_bytes()).hexdigest())

    return SampleTable.of(map(digested, scan(uri).samples))


def counted(store: Proxy) -> dict[str, int]:
    """Return the requests since the last call, by kind."""
    counts = {"LIST": 0, "GET": 0, "HEAD": 0}
    for request, count in store.requests.items():
        method, path = request.split(" ", 1)
        counts["LIST" if method == "GET" and path.strip("/").count("/") == 0 else method] += count
    store.requests.clear()
    return counts


def counted_for(store: Proxy, action: Callable[[], object]) -> dict[str, int]:
    counted(store)
    action()
    return counted(store)


def another_node(store: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(cache_root() / "pulled")
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "another node"))
    s3.forget_client()  # it has listed nothing
    counted(store)


@pytest.mark.parametrize("kind", KINDS)
def test_another_node_downloads_recorded_samples_without_a_listing(
    kind: str, store: Proxy, uploaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of(kind, uploaded)
    samples = recorded(uri)
    another_node(store, tmp_path, monkeypatch)
    for part, heads in ((samples[:12], 1), (samples[12:], 1), (samples[:12], 0), (samples[12:], 0)):
        found = on_this_node(part, uri)
        assert counted(store) == {"LIST": 0, "GET": heads * len(part), "HEAD": heads}
        assert [replace(one, path="") for one in found] == [replace(one, path="") for one in part]
        assert all(Path(one.path).is_relative_to(tmp_path / "another node") for one in found)
        assert all(hashlib.sha256(Path(one.path).read_bytes()).hexdigest() == one.digest for one in found)


@pytest.mark.parametrize("needs_listing", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_a_node_that_downloads_removes_what_it_used_least_recently(
    needs_listing: bool, store: Proxy, uploaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri) if not needs_listing else scan(uri).samples
    another_node(store, tmp_path, monkeypatch)
    old = cache_root() / "pulled" / "old"
    old.mkdir(parents=True)
    (old / "file").write_bytes(b"x")
    here = on_this_node(samples, uri, limit_bytes=1)
    assert not old.exists()
    assert all(Path(one.path).is_file() for one in here)


def test_what_was_downloaded_without_a_listing_is_not_downloaded_again_after_one(
    store: Proxy, uploaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri)
    another_node(store, tmp_path, monkeypatch)
    on_this_node(samples, uri)
    counted(store)
    pull(uri)
    assert counted(store) == {"LIST": 1, "GET": 0, "HEAD": 0}


@pytest.mark.parametrize("change", ["replaced", "removed", "without digests"])
def test_what_the_samples_do_not_say_is_listed(
    change: str, store: Proxy, uploaded: str, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri) if change != "without digests" else scan(uri).samples
    bucket, key = uploaded.split("/")[2], f"data/photos/é/{samples[12].key}"
    if change == "replaced":
        s3_client.put_object(Bucket=bucket, Key=key, Body=b"another")
    if change == "removed":
        s3_client.delete_object(Bucket=bucket, Key=key)
    another_node(store, tmp_path, monkeypatch)
    found = on_this_node(samples, uri)
    assert counted(store)["LIST"] > 0
    assert [Path(one.path).is_file() for one in found].count(False) == (change == "removed")


def test_the_node_of_the_driver_requests_nothing(store: Proxy, uploaded: str) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri)
    counted(store)
    assert on_this_node(samples, uri, audited=audited_name()) == samples
    assert counted(store) == {"LIST": 0, "GET": 0, "HEAD": 0}


@pytest.mark.parametrize(
    ("kind", "older"),
    [
        ("prefix", "replaced"),
        pytest.param("prefix", "partial", marks=pytest.mark.thorough),
        pytest.param("manifest", "replaced", marks=pytest.mark.thorough),
    ],
)
def test_an_older_copy_on_another_node_is_refreshed_once(
    kind: str, older: str, store: Proxy, uploaded: str, s3_client: Any, tmp_path: Path
) -> None:
    uri = uri_of(kind, uploaded)
    changed = scan(uri).samples[5]
    copy = (cache_root() / "pulled").rename(tmp_path / "another node")
    if older == "replaced":
        body = (copy / Path(changed.path).relative_to(cache_root() / "pulled")).read_bytes()
        key = f"data/{changed.key if kind == 'manifest' else f'photos/é/{changed.key}'}"
        s3_client.put_object(Bucket=uploaded.split("/")[2], Key=key, Body=body + b"\0")
    else:
        (copy / Path(changed.path).relative_to(cache_root() / "pulled")).unlink()
    samples, name = recorded(uri), audited_name()
    (cache_root() / "pulled").rename(tmp_path / "driver")
    copy.rename(cache_root() / "pulled")
    counted(store)
    for process in range(2):
        found = on_this_node(samples, uri, audited=name)
        assert all(hashlib.sha256(Path(one.path).read_bytes()).hexdigest() == one.digest for one in found)
        requests = counted(store)
        assert (requests["LIST"] > 0) == (process == 0)
    assert counted_for(store, lambda: on_this_node(samples[:9], uri, audited=name)) == {"LIST": 0, "GET": 0, "HEAD": 0}
    assert counted_for(store, lambda: on_this_node(samples, uri, audited="driver.later"))["LIST"] == 0


def test_files_that_a_pull_changed_since_are_listed(
    store: Proxy, uploaded: str, s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri)
    another_node(store, tmp_path, monkeypatch)
    on_this_node(samples, uri)
    s3_client.put_object(Bucket=uploaded.split("/")[2], Key=f"data/photos/é/{samples[3].key}", Body=b"another")
    pull(uri)
    counted(store)
    on_this_node(samples, uri)
    assert counted(store)["LIST"] > 0


def test_files_that_were_deleted_since_are_listed(
    store: Proxy, uploaded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of("prefix", uploaded)
    samples = recorded(uri)
    another_node(store, tmp_path, monkeypatch)
    for one in on_this_node(samples, uri):
        Path(one.path).unlink()
    assert all(Path(one.path).is_file() for one in on_this_node(samples, uri))
