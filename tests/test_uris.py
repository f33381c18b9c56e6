"""URIs and file names are distinguished by their text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.uris import bucket_and_key, has_scheme, in_bucket, is_archive_name, is_remote, is_table_name, local_path


@pytest.mark.parametrize(
    ("uri", "scheme", "bucket", "remote"),
    [
        ("s3://b/k", True, True, True),
        ("memory://m", True, False, True),
        ("file:///d", True, False, False),
        ("/d/s3://", True, False, True),
        ("photos", False, False, False),
    ],
)
def test_a_uri_is_classified_by_its_scheme(uri: str, scheme: bool, bucket: bool, remote: bool) -> None:
    assert (has_scheme(uri), in_bucket(uri), is_remote(uri)) == (scheme, bucket, remote)


def test_a_path_object_is_never_in_a_bucket() -> None:
    assert not in_bucket(Path("s3://b/k"))


def test_a_file_uri_names_a_local_path() -> None:
    assert local_path("file:///d/run") == local_path("/d/run") == Path("/d/run")


@pytest.mark.parametrize(("uri", "parts"), [("s3://b", ("b", "")), ("s3://b/a/c.jpg", ("b", "a/c.jpg"))])
def test_an_s3_uri_splits_into_bucket_and_key(uri: str, parts: tuple[str, str]) -> None:
    assert bucket_and_key(uri) == parts


@pytest.mark.parametrize("name", ["a.csv", "s3://b/x.PARQUET/", "x.tsv", "dir/x.jsonl"])
def test_a_table_is_known_by_its_ending(name: str) -> None:
    assert is_table_name(name)
    assert not is_table_name(f"{name}x")


@pytest.mark.parametrize("name", ["a.zip", "s3://b/x.TAR", "x.tar.gz", "x.tgz"])
def test_an_archive_is_known_by_its_ending(name: str) -> None:
    assert is_archive_name(name)
    assert not is_archive_name(f"{name}x")
