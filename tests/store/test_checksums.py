"""An object is verified by the cheapest checksum that its response announces and this machine can compute."""

from __future__ import annotations

import base64
import hashlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytl.store import checksums

BODY = b"some bytes of an object"
MD5 = {"etag": f'"{hashlib.md5(BODY).hexdigest()}"'}


def header(name: str, value: bytes) -> dict[str, str]:
    return {f"x-amz-checksum-{name}": base64.b64encode(value).decode()}


CRC32 = header("crc32", zlib.crc32(BODY).to_bytes(4, "big"))
SHA256 = header("sha256", hashlib.sha256(BODY).digest())
SHA1 = header("sha1", hashlib.sha1(BODY).digest())


def is_intact(headers: dict[str, str], *parts: bytes) -> bool | None:
    if (pair := checksums.announced(headers)) is None:
        return None
    for part in parts:
        pair[0].update(memoryview(part))
    return pair[0].digest() == pair[1]


@pytest.mark.parametrize("headers", [CRC32, SHA256, SHA1, MD5])
def test_each_checksum_accepts_its_bytes_in_parts_and_no_others(headers: dict[str, str]) -> None:
    assert is_intact(headers, BODY[:7], BODY[7:]) is True
    assert is_intact(headers, BODY[:-1]) is False


def test_the_cheapest_checksum_is_computed_alone() -> None:
    assert is_intact({**header("sha256", b"0" * 32), **CRC32, "etag": "0" * 32}, BODY) is True
    assert is_intact({**SHA256, **header("crc32", b"0" * 4), **MD5}, BODY) is False


@pytest.mark.parametrize(
    "value",
    ["", "AAAAAA==-3", "AAAA", "not base64!", "A" * 5000, "\xff\xff\xff\xff", "AAAAAAAAAAAAAAAA"],
)
def test_a_checksum_that_is_none_or_one_of_parts_is_not_compared(value: str) -> None:
    assert is_intact({"x-amz-checksum-crc32": value, "etag": '"0-3"'}, BODY) is None
    assert is_intact({"x-amz-checksum-crc32": value, **MD5}, BODY) is True


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": "abc"},
        {**MD5, "x-amz-server-side-encryption": "aws:kms:dsse"},
        {**MD5, "x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
)
def test_an_etag_that_is_no_md5_is_not_compared(headers: dict[str, str]) -> None:
    assert checksums.announced(headers) is None


@pytest.fixture
def awscrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module in the place of awscrt, which computes sums."""
    (tmp_path / "awscrt").mkdir()
    (tmp_path / "awscrt" / "__init__.py").touch()
    code = "def crc64nvme(content, before=0):\n    return before + sum(content)\n"
    (tmp_path / "awscrt" / "checksums.py").write_text(code)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("awscrt", "awscrt.checksums"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    checksums._of_awscrt.cache_clear()
    yield tmp_path
    checksums._of_awscrt.cache_clear()
    for name in ("awscrt", "awscrt.checksums"):
        sys.modules.pop(name, None)


def test_awscrt_computes_what_only_it_can_where_it_is_installed(awscrt: Path) -> None:
    headers = {**header("crc64nvme", sum(BODY).to_bytes(8, "big")), **header("crc32", b"0000")}
    assert is_intact(headers, BODY) is False, "without awscrt, the CRC32 decides"
    checksums._of_awscrt.cache_clear()
    checksums.use_awscrt(str(awscrt))
    assert is_intact(headers, BODY[:3], BODY[3:]) is True


def test_without_awscrt_its_checksums_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_of_awscrt", lambda name: None)
    assert is_intact({**header("crc64nvme", b"0" * 8), **header("crc32c", b"0" * 4), **MD5}, BODY) is True
