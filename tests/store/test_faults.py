"""Under faults of the network or the store, a pull ends with every byte intact or with one clear error. docs/reliability.md has
the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import Denied, NotFound, StoreError, Unavailable
from raytl.run.mirror import BEST, Mirror
from raytl.store import retry, s3
from raytl.store.open import open_store
from raytl.store.s3_settings import S3Settings
from raytl.store.sync import pull
from tests.store import proxy as faults
from tests.store.conftest import fill
from tests.store.proxy import Fault, Proxy, Request, fraction, proxied

pytestmark = [pytest.mark.s3, pytest.mark.thorough]

COUNT = 60
RECOVERED: dict[str, Fault] = {
    "500 InternalError": faults.error(500, "InternalError"),
    "503 SlowDown": faults.error(503, "SlowDown"),
    "429 TooManyRequests": faults.error(429, "TooManyRequests"),
    "reset before the answer": faults.reset_before,
    "reset in mid-body": faults.reset_within,
    "truncated body": faults.truncated,
}
SILENCE_S = 2.0
SILENT: dict[str, Fault] = {
    "stall": faults.stalled(600.0),  # a client that waits for its end fails the test
    "slow drip": faults.dripping(1.5 * SILENCE_S),
}
FATAL: dict[str, tuple[Fault, type[StoreError], str]] = {
    "expired credentials": (faults.error(400, "ExpiredToken"), Denied, "ExpiredToken.*check the credentials"),
    "clock skew": (faults.error(403, "RequestTimeTooSkewed"), Denied, "RequestTimeTooSkewed.*clock"),
    "access denied": (faults.error(403, "AccessDenied"), Denied, "AccessDenied.*their permissions"),
}


@pytest.fixture
def between(s3_server: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that the environment names as endpoint; pauses between attempts are short."""
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setattr(retry, "MAX_PAUSE_S", 0.01)
        s3.forget_client()
        yield proxy
    s3.forget_client()


IMPATIENT = S3Settings(read_timeout_s=SILENCE_S)
"""Settings with a short read timeout, only for faults of silence: the proxy and moto are threads of this process, so
concurrent requests also wait for each other."""
PHOTOS = {f"class-{i % 3}/{i}.jpg": bytes([i]) * (500 + 97 * i) for i in range(COUNT)}


@pytest.fixture(scope="module")
def photos(s3_server: str) -> str:
    """The read-only URI of PHOTOS."""
    fill(s3_server, "photos-for-faults", {f"photos/{key}": body for key, body in PHOTOS.items()})
    return "s3://photos-for-faults/photos"


@pytest.fixture
def own_photos(s3_client: Any, bucket: str) -> str:
    """The URI of PHOTOS in the test's own bucket."""
    for key, body in PHOTOS.items():
        s3_client.put_object(Bucket=bucket, Key=f"photos/{key}", Body=body)
    return f"s3://{bucket}/photos"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("name", RECOVERED)
def test_transient_faults_are_recovered_from(between: Proxy, photos: str, name: str, rate: float) -> None:
    between.do(RECOVERED[name], fraction(rate, seed=list(RECOVERED).index(name)))
    assert tree(pull(photos)) == PHOTOS
    assert between.done > 0 or rate < 0.1


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("name", SILENT)
def test_silence_and_slowness_are_recovered_from(between: Proxy, photos: str, name: str, rate: float) -> None:
    between.do(SILENT[name], fraction(rate, seed=len(RECOVERED) + list(SILENT).index(name)))
    assert tree(pull(photos, s3=IMPATIENT)) == PHOTOS
    assert between.done > 0 or rate < 0.1


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
def test_wrong_bytes_of_the_right_length_are_never_accepted(between: Proxy, photos: str, rate: float) -> None:
    chosen = fraction(rate)
    between.do(faults.wrong_bytes, lambda request: request.is_get and chosen(request))
    assert tree(pull(photos)) == PHOTOS
    assert between.done > 0 or rate < 0.1


@pytest.mark.parametrize("name", FATAL)
def test_permanent_faults_are_reported_at_once_and_arrived_files_are_kept(
    between: Proxy, photos: str, name: str
) -> None:
    fault, kind, text = FATAL[name]
    between.do(fault, lambda request: request.number > COUNT // 2)
    with pytest.raises(kind, match=text):
        pull(photos)
    between.do(faults.passed, lambda _: False)
    before = between.requests.total()
    assert tree(pull(photos)) == PHOTOS
    assert between.requests.total() - before < COUNT, "files that arrived before the fault were fetched again"


def test_refused_connections_are_reported_and_the_same_command_resumes(
    between: Proxy, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with proxied(between.url) as gone:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gone.url)
    s3.forget_client()
    with pytest.raises(Unavailable, match=r"Could not connect.*run the same command again to resume.*tried 8 times"):
        pull(photos)
    monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
    s3.forget_client()
    assert tree(pull(photos)) == PHOTOS


def test_a_key_deleted_between_listing_and_fetching_is_named(
    between: Proxy, bucket: str, own_photos: str, s3_client: Any
) -> None:
    def gone(request: Request) -> bool:
        if request.is_get and request.path.endswith("/7.jpg"):
            s3_client.delete_object(Bucket=bucket, Key="photos/class-1/7.jpg")
        return False

    between.do(faults.passed, gone)
    with pytest.raises(NotFound, match=r"class-1/7\.jpg"):
        pull(own_photos)
    assert tree(pull(own_photos)) == {k: v for k, v in PHOTOS.items() if k != "class-1/7.jpg"}


def test_a_file_that_changes_between_listing_and_fetching_is_an_error_or_whole(
    between: Proxy, bucket: str, own_photos: str, s3_client: Any
) -> None:
    new = b"another content, of another length"
    left = [new]

    def changed(request: Request) -> bool:
        if request.is_get and request.path.endswith("/7.jpg") and left:
            s3_client.put_object(Bucket=bucket, Key="photos/class-1/7.jpg", Body=left.pop())
        return False

    between.do(faults.passed, changed)
    with pytest.raises(StoreError, match=r"class-1/7\.jpg.*changed after the listing"):
        pull(own_photos)
    assert tree(pull(own_photos)) == {**PHOTOS, "class-1/7.jpg": new}


def test_a_listing_that_changes_while_it_is_read_has_all_that_was_there_all_along(
    between: Proxy, bucket: str, own_photos: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PAGE_KEYS", 5)
    new = {f"class-{i % 3}/{i}-new.jpg": b"new" * i for i in range(1, 40)}
    coming, going = list(new), [f"class-2/{i}.jpg" for i in range(2, COUNT, 3)]

    def changing(request: Request) -> bool:
        if request.method == "GET" and not request.is_get and coming:
            key = coming.pop()
            s3_client.put_object(Bucket=bucket, Key=f"photos/{key}", Body=new[key])
            if going:
                s3_client.delete_object(Bucket=bucket, Key=f"photos/{going.pop()}")
        return False

    between.do(faults.passed, changing)
    listed = {info.key: info for info in open_store(own_photos).list()}
    assert between.requests.total() > 12 and len(coming) < 30
    stayed = PHOTOS.keys() - {f"class-2/{i}.jpg" for i in range(2, COUNT, 3)}
    assert stayed <= listed.keys() <= PHOTOS.keys() | new.keys()
    coming.clear()
    left = {info.key for info in open_store(own_photos).list()}
    assert tree(pull(own_photos)) == {key: body for key, body in (PHOTOS | new).items() if key in left}


def test_an_etag_that_is_not_an_md5_does_not_stop_a_pull(between: Proxy, photos: str) -> None:
    def other_etag(_: Proxy, handler: Any, ask: Any) -> None:
        answer = ask()
        answer.headers = [(n, '"00000000000000000000000000000000"' if n == "ETag" else v) for n, v in answer.headers]
        handler.send(answer)

    between.do(other_etag, lambda request: request.is_get)
    assert tree(pull(photos)) == PHOTOS


@pytest.mark.parametrize("name", RECOVERED)
def test_checkpoints_survive_faults_in_both_directions(between: Proxy, bucket: str, tmp_path: Path, name: str) -> None:
    here, there = (Mirror(open_store(f"s3://{bucket}/run"), tmp_path / node) for node in ("here", "there"))
    between.do(RECOVERED[name], fraction(0.3))
    for number in range(3):
        (here.root / BEST).mkdir(parents=True, exist_ok=True)
        (here.root / BEST / "model").write_bytes(bytes([number]) * 10_000)
        (here.root / "metrics.jsonl").write_text("{}\n" * number)
        here.push_folder(BEST, here.root / BEST)
        here.push()
        there.fetch()
        assert (there.root / BEST / "model").read_bytes() == bytes([number]) * 10_000
        assert (there.root / "metrics.jsonl").read_text() == "{}\n" * number
    assert between.done > 0


def test_a_fraction_of_zero_selects_none_and_of_one_all() -> None:
    request = Request(0, "GET", "/")
    assert not fraction(0.0)(request)
    assert fraction(1.0)(request)
