"""Probes of a bucket on a real S3 server."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.doctor.bucket import Bucket, probe
from raytl.errors import Denied
from raytl.store.open import open_store
from raytl.store.s3 import S3Store
from raytl.store.s3_settings import S3Settings

STORAGE = S3Settings()


def test_a_manifest_and_an_archive_are_data_though_nothing_is_below_them() -> None:
    store = open_store("memory://probed")
    store.put_bytes("rows.csv", b"path,label")
    store.put_bytes("photos.zip", b"PK")
    for name, read_bytes in (("rows.csv", 10), ("photos.zip", 2), ("typo.csv", 0), ("typo", 0)):
        result = probe(Bucket(f"memory://probed/{name}", False, STORAGE), "here")
        assert (result.error, result.read_bytes, result.lacks_data) == ("", read_bytes, not read_bytes)


@pytest.mark.s3
def test_a_bucket_is_listed_written_read_and_left_unchanged(bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="x/small", Body=b"1")
    s3_client.put_object(Bucket=bucket, Key="x/big", Body=bytes(9 << 20))
    result = probe(Bucket(f"s3://{bucket}/x", True, STORAGE), "here")
    assert (result.error, result.write_error, result.objects, result.more) == ("", "", 2, False)
    assert result.read_bytes == 8 << 20 and result.read_rate > 0
    assert result.write_s is not None and result.list_s > 0
    assert result.skew_s is not None and abs(result.skew_s) < 3
    assert [each["Key"] for each in s3_client.list_objects_v2(Bucket=bucket)["Contents"]] == ["x/big", "x/small"]


@pytest.mark.s3
def test_data_is_only_read(bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("data was written to")

    monkeypatch.setattr(S3Store, "put_bytes", refused)
    s3_client.put_object(Bucket=bucket, Key="a", Body=b"123")
    result = probe(Bucket(f"s3://{bucket}", False, STORAGE), "here")
    assert (result.error, result.write_s, result.write_error, result.read_bytes) == ("", None, "", 3)


@pytest.mark.s3
def test_a_missing_bucket_is_an_error_in_one_line(s3_client: Any) -> None:
    result = probe(Bucket("s3://nowhere-to-be-found", True, STORAGE), "here")
    assert "s3://nowhere-to-be-found" in result.error and "\n" not in result.error


@pytest.mark.s3
def test_a_read_only_bucket_is_reported(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise Denied("s3://x: 403 Forbidden; check the credentials")

    monkeypatch.setattr(S3Store, "put_bytes", refused)
    result = probe(Bucket(f"s3://{bucket}", True, STORAGE), "here")
    assert (result.error, result.write_s) == ("", None)
    assert result.write_error.startswith("read-only: s3://x: 403 Forbidden")


@pytest.mark.s3
def test_only_the_first_page_is_listed(bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.s3.PAGE_KEYS", 2)
    for number in range(3):
        s3_client.put_object(Bucket=bucket, Key=f"{number}", Body=b"x")
    result = probe(Bucket(f"s3://{bucket}", False, STORAGE), "here")
    assert (result.objects, result.more) == (2, True)
