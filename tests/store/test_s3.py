"""The errors of buckets: boto3's, translated."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as vendor
from botocore.stub import Stubber

from raytl.errors import Archived, Denied, NotFound, StoreError, Unavailable
from raytl.store import s3, s3_errors
from raytl.store import s3_client as clients
from raytl.store.s3 import S3Store
from raytl.store.s3_settings import S3Settings
from tests.store.proxy import Answer, Proxy

pytestmark = pytest.mark.s3


def test_a_missing_bucket_says_what_to_check(s3_client: Any) -> None:
    with pytest.raises(NotFound, match=r"s3://no-such-bucket/x/: .*NoSuchBucket.*; check the bucket and the key"):
        list(S3Store("no-such-bucket", "x").list())


def test_folder_markers_are_not_objects(bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="p/")
    s3_client.put_object(Bucket=bucket, Key="p/cat/")
    s3_client.put_object(Bucket=bucket, Key="p/cat/1", Body=b"1")
    assert [info.key for info in S3Store(bucket, "p").list()] == ["cat/1"]


def test_listings_of_several_pages_are_whole(bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"{folder}{number}" for folder in ("", "a!", "a/", "a/b/", "z/é/") for number in range(7)]
    for key in keys:
        s3_client.put_object(Bucket=bucket, Key=f"p/{key}", Body=b"")
    monkeypatch.setattr(s3, "PAGE_KEYS", 3)
    assert [info.key for info in S3Store(bucket, "p").list()] == sorted(keys, key=str.encode)
    assert [info.key for info in S3Store(bucket, "p").list("a/b")] == [f"a/b/{number}" for number in range(7)]


def test_a_store_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("time.sleep", lambda _: None)
    s3.forget_client()
    with pytest.raises(
        Unavailable, match=r"Could not connect to the endpoint URL.*run the same command again to resume"
    ):
        S3Store("b").exists("k")
    s3.forget_client()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, Denied),
        ("InvalidAccessKeyId", 403, Denied),
        ("ExpiredToken", 400, Denied),
        ("NoSuchKey", 404, NotFound),
        ("SlowDown", 503, Unavailable),
        ("InternalError", 500, Unavailable),
        ("TooManyRequests", 429, Unavailable),
        ("Strange", 400, StoreError),
        ("NotImplemented", 501, StoreError),
    ],
)
def test_errors_are_translated_once(s3_client: Any, code: str, status: int, kind: type[StoreError]) -> None:
    with Stubber(s3.client()) as stub:
        stub.add_client_error("head_object", code, http_status_code=status)
        with pytest.raises(kind, match=code) as caught, s3_errors.translated("s3://b/k"):
            s3.client().head_object(Bucket="b", Key="k")
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, vendor.ClientError)


def test_missing_credentials_are_denied_and_say_what_to_set() -> None:
    expected = "Unable to locate credentials; check the credentials"
    with pytest.raises(Denied, match=expected), s3_errors.translated("s3://b/k"):
        raise vendor.NoCredentialsError


def test_a_failed_upload_reports_the_cause(bucket: str, tmp_path: Path, s3_client: Any) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NotFound, match="NoSuchBucket"):
        S3Store("no-such-bucket").put_file(tmp_path / "file", "k")
    with pytest.raises(StoreError, match="none"):
        S3Store(bucket).put_file(tmp_path / "none", "k")


def test_a_body_that_ends_early_is_unavailable_and_leaves_nothing(
    bucket: str, tmp_path: Path, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        left = b"only"

        def read(self, size: int) -> bytes:
            content, self.left = self.left, b""
            return content

    monkeypatch.setattr(s3.client(), "get_object", lambda **_: {"Body": Short(), "ContentLength": 10})
    with pytest.raises(Unavailable, match="4 bytes arrived; expected 10"):
        S3Store(bucket).get_to_file("k", tmp_path / "file", 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", ["another version once", "other etags always"])
def test_an_object_with_another_etag_than_listed_is_read_again_unless_its_store_lists_other_etags(
    sent: str, before_s3: Proxy, bucket: str, tmp_path: Path, s3_client: Any
) -> None:
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"one")
    s3_client.put_object(Bucket=bucket, Key="k2", Body=b"one")
    listed = next(iter(S3Store(bucket).list()))

    def other(proxy: Proxy, handler: Any, ask: Callable[[], Answer]) -> None:
        answer = ask()
        etag = '"123-2"' if sent != "another version once" else f'"{hashlib.md5(b"two").hexdigest()}"'
        body = b"two" if answer.body and sent == "another version once" else answer.body
        kept = [one for one in answer.headers if one[0].lower() != "etag" and "checksum" not in one[0].lower()]
        handler.send(Answer(answer.status, [*kept, ("ETag", etag)], body))

    always = sent == "other etags always"
    before_s3.do(other, lambda one: "list-type" not in one.path and (always or before_s3.done == 0))
    if always:
        S3Store(bucket).get_to_file("k", tmp_path / "file", 3, listed.etag)
        assert (tmp_path / "file").read_bytes() == b"one"
    else:
        with pytest.raises(Unavailable, match="k: was replaced for a moment after the listing"):
            S3Store(bucket).get_to_file("k", tmp_path / "file", 3, listed.etag)
        assert list(tmp_path.iterdir()) == []


def test_each_settings_have_a_client_of_their_own(s3_client: Any) -> None:
    ours, others = S3Settings(), S3Settings(read_timeout_s=7.0)
    first = s3.client(ours)
    assert s3.client(others) is not first
    assert s3.client(S3Settings()) is first


def test_the_least_recently_used_clients_go_first(s3_client: Any) -> None:
    first = s3.client()
    for seconds in range(1, clients.MAX_CLIENTS):
        s3.client(S3Settings(connect_timeout_s=float(seconds)))
    assert s3.client() is first
    s3.client(S3Settings(connect_timeout_s=100.0))
    assert s3.client() is first
    assert len(clients._clients) == clients.MAX_CLIENTS


def test_another_process_creates_its_own_client(s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = s3.client()
    assert s3.client() is mine
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert s3.client() is not mine


def test_a_forked_process_does_not_wait_for_a_lock_that_its_parent_held() -> None:
    with clients._lock:
        clients._replace_lock()
        assert not clients._lock.locked()


def chosen(**given: Any) -> Any:
    """Return the client for these settings."""
    return s3.client(S3Settings(**given))


def test_the_settings_say_where_buckets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://environment:1")
    client = chosen(endpoint_url="http://file:2", region="eu-west-3", read_timeout_s=7, connect_timeout_s=3)
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://file:2", "eu-west-3")
    assert (client.meta.config.read_timeout, client.meta.config.connect_timeout) == (7, 3)
    assert client.meta.config.s3["addressing_style"] == "path"
    assert chosen(endpoint_url="http://file:2", addressing="virtual").meta.config.s3["addressing_style"] == "virtual"
    assert chosen().meta.endpoint_url == "http://environment:1"


def test_a_missing_profile_is_an_error(bucket: str) -> None:
    with pytest.raises(vendor.ProfileNotFound, match="nobody"):
        chosen(profile="nobody")
    with pytest.raises(Denied, match="nobody.*check the credentials"):
        S3Store(bucket, s3=S3Settings(profile="nobody")).exists("k")


def test_public_data_needs_no_credentials(bucket: str) -> None:
    sent: list[Any] = []
    client = chosen(anonymous=True)
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.headers))
    S3Store(bucket, s3=S3Settings(anonymous=True)).exists("k")
    assert sent
    assert not any("Authorization" in headers for headers in sent)


def test_request_payer_is_sent_with_each_request(bucket: str) -> None:
    sent: list[Any] = []
    client = chosen(request_payer=True)
    client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.headers))
    store = S3Store(bucket, s3=S3Settings(request_payer=True))
    store.put_bytes("k", b"1")
    list(store.list())
    assert store.get_bytes("k") == b"1"
    assert [headers["x-amz-request-payer"] for headers in sent] == [b"requester"] * 3


@pytest.mark.s3
def test_reading_an_archived_object_is_an_error_with_advice(bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="a b.jpg", Body=b"x", StorageClass="DEEP_ARCHIVE")
    expected = (
        rf"^s3://{bucket}/a b.jpg: archived in DEEP_ARCHIVE; restore it first \(aws s3api restore-object --bucket {bucket} "
        r"--key 'a b.jpg' --restore-request Days=7\), or copy it to another storage class$"
    )
    with pytest.raises(Archived, match=expected):
        S3Store(bucket).get_bytes("a b.jpg")


@pytest.mark.parametrize(
    ("head", "archive"),
    [
        ({}, ""),
        ({"StorageClass": "STANDARD_IA"}, ""),
        ({"StorageClass": "GLACIER_IR"}, ""),
        ({"StorageClass": "GLACIER"}, "GLACIER"),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="true"'}, "GLACIER"),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029"'}, ""),
        ({"StorageClass": "INTELLIGENT_TIERING"}, ""),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS"},
            "INTELLIGENT_TIERING DEEP_ARCHIVE_ACCESS",
        ),
    ],
)
def test_stat_reports_whether_an_object_must_be_restored(s3_client: Any, head: dict[str, str], archive: str) -> None:
    with Stubber(s3.client()) as stub:
        stub.add_response("head_object", {"ContentLength": 1, "ETag": '"e"', **head})
        assert S3Store("b").stat("k").archive == archive
