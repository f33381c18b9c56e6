"""A store that rejects requests for checksums, or sends wrong ones, is read all the same, verified by MD5."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import Denied, Unavailable
from raytl.store import s3
from raytl.store.s3 import S3Store
from raytl.store.s3_settings import S3Settings
from raytl.store.sync import pull
from tests.store import proxy as faults
from tests.store.proxy import Proxy

pytestmark = pytest.mark.s3
KEYS = [f"{number}.jpg" for number in range(12)]


@pytest.fixture
def store(before_s3: Proxy, bucket: str, s3_client: Any) -> S3Store:
    for key in KEYS:
        s3_client.put_object(Bucket=bucket, Key=f"p/{key}", Body=key.encode())
    return S3Store(bucket, "p")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("status", [400, 501])
def test_a_store_that_rejects_requests_for_checksums_is_asked_once_and_said(
    store: S3Store, before_s3: Proxy, status: int, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    before_s3.do(faults.refused_if_checked(status), lambda one: one.is_get)
    before_s3.requests.clear()
    with caplog.at_level(logging.WARNING, "raytl"):
        assert [store.get_bytes(key) for key in KEYS] == [key.encode() for key in KEYS]
        store.get_to_file(KEYS[0], tmp_path / "file", len(KEYS[0]))
    assert sum(before_s3.requests.values()) == len(KEYS) + 2, "one more for the rejected request"
    assert [record.getMessage().split("; ")[1] for record in caplog.records] == ["objects are verified by MD5 alone"]


def test_a_request_that_fails_for_another_known_reason_does_not_end_checksums(store: S3Store, before_s3: Proxy) -> None:
    before_s3.do(faults.error(400, "ExpiredToken"), lambda one: one.is_get and before_s3.done == 0)
    with pytest.raises(Denied, match="ExpiredToken"):
        store.get_bytes(KEYS[0])
    assert store.get_bytes(KEYS[0]) == KEYS[0].encode()
    assert not s3.cached_client(S3Settings()).without_checksums


def test_too_few_files_for_bulk_are_not_requested_to_see_why_none_arrived(
    store: S3Store, before_s3: Proxy, tmp_path: Path
) -> None:
    infos = list(store.list())
    before_s3.requests.clear()
    assert list(store.get_files(infos[:1], tmp_path)) == []
    assert not before_s3.requests


def test_files_are_pulled_in_bulk_from_a_store_that_rejects_requests_for_checksums(
    store: S3Store, before_s3: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    before_s3.do(faults.refused_if_checked(400), lambda one: one.is_get)
    by_boto3 = list[str]()
    s3.client().meta.events.register("before-send.s3.GetObject", lambda request, **_: by_boto3.append(request.url))
    assert contents(pull(store.uri)) == {key: key.encode() for key in KEYS}
    assert len(by_boto3) == 2, "the rejected request and its repetition"


def test_wrong_checksums_of_bytes_with_the_right_md5_are_said_and_asked_for_no_more(
    store: S3Store, before_s3: Proxy, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    before_s3.do(faults.wrong_checksum, lambda one: one.is_get)
    before_s3.requests.clear()
    with caplog.at_level(logging.WARNING, "raytl"):
        for key in KEYS:
            store.get_to_file(key, tmp_path / key, len(key))
    assert contents(tmp_path) == {key: key.encode() for key in KEYS}
    assert sum(before_s3.requests.values()) == len(KEYS) + 3
    assert ["3 of its checksums do not match bytes" in record.getMessage() for record in caplog.records] == [True]
    assert store.get_bytes(KEYS[0]) == KEYS[0].encode()


def test_bytes_that_match_neither_checksum_nor_md5_are_an_error_that_says_what_to_do(
    store: S3Store, before_s3: Proxy, bucket: str, s3_client: Any, tmp_path: Path
) -> None:
    upload = s3_client.create_multipart_upload(Bucket=bucket, Key="p/parts")["UploadId"]
    part = {"Bucket": bucket, "Key": "p/parts", "UploadId": upload, "PartNumber": 1}
    etag = s3_client.upload_part(**part, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3_client.complete_multipart_upload(Bucket=bucket, Key="p/parts", UploadId=upload, MultipartUpload=parts)
    before_s3.do(faults.wrong_checksum, lambda one: one.is_get)
    with pytest.raises(
        Unavailable, match=r"p/parts: .*checksum.*its ETag is not their MD5\..* upload the object again"
    ):
        store.get_to_file("parts", tmp_path / "file", 1)
    assert not s3.cached_client(S3Settings()).without_checksums


def test_bytes_that_changed_on_the_way_once_do_not_end_checksums(
    store: S3Store, before_s3: Proxy, tmp_path: Path, bucket: str
) -> None:
    before_s3.do(faults.wrong_bytes, lambda one: one.is_get and one.number < 1)
    before_s3.requests.clear()
    store.get_to_file(KEYS[0], tmp_path / "file", len(KEYS[0]))
    assert (tmp_path / "file").read_bytes() == KEYS[0].encode()
    assert not s3.cached_client(S3Settings()).without_checksums
