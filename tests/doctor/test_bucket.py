"""A machine's reach for a bucket, on a real S3 server."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.schema import StorageConfig
from raytl.doctor.bucket import Bucket, probe
from raytl.errors import Denied
from raytl.store.s3 import S3Store

pytestmark = pytest.mark.s3
STORAGE = StorageConfig()


def test_a_bucket_is_listed_written_read_and_left_as_it_was(bucket: str, s3_client: Any) -> None:
    s3_client.put_object(Bucket=bucket, Key="x/small", Body=b"1")
    s3_client.put_object(Bucket=bucket, Key="x/big", Body=bytes(9 << 20))
    found = probe(Bucket(f"s3://{bucket}/x", True, STORAGE), "here")
    assert (found.error, found.refused, found.objects, found.more) == ("", "", 2, False)
    assert found.read_bytes == 8 << 20 and found.read_rate > 0
    assert found.write_s is not None and found.list_s > 0
    assert found.skew_s is not None and abs(found.skew_s) < 3
    assert [each["Key"] for each in s3_client.list_objects_v2(Bucket=bucket)["Contents"]] == ["x/big", "x/small"]


def test_data_is_only_read(bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("data was written to")

    monkeypatch.setattr(S3Store, "put_bytes", refused)
    s3_client.put_object(Bucket=bucket, Key="a", Body=b"123")
    found = probe(Bucket(f"s3://{bucket}", False, STORAGE), "here")
    assert (found.error, found.write_s, found.refused, found.read_bytes) == ("", None, "", 3)


def test_a_bucket_that_is_not_there_is_an_error_in_one_line(s3_client: Any) -> None:
    found = probe(Bucket("s3://nowhere-to-be-found", True, STORAGE), "here")
    assert "s3://nowhere-to-be-found" in found.error and "\n" not in found.error


def test_a_bucket_that_may_only_be_read_says_so(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise Denied("s3://x: 403 Forbidden; check the credentials")

    monkeypatch.setattr(S3Store, "put_bytes", refused)
    found = probe(Bucket(f"s3://{bucket}", True, STORAGE), "here")
    assert (found.error, found.write_s) == ("", None)
    assert found.refused.startswith("read only: s3://x: 403 Forbidden")


def test_the_first_page_is_all_that_is_listed(bucket: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.s3.PAGE_KEYS", 2)
    for number in range(3):
        s3_client.put_object(Bucket=bucket, Key=f"{number}", Body=b"x")
    found = probe(Bucket(f"s3://{bucket}", False, STORAGE), "here")
    assert (found.objects, found.more) == (2, True)
