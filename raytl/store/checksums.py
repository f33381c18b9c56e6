"""Verify an object by the cheapest checksum that its response announces; `fetch_worker` imports this, so it is standard library only.

Amazon S3 stores a CRC with each new object and sends it where the request asks for it. A CRC32 takes a fifth of MD5's time; CRC32C
and CRC64NVME take a fiftieth, but need awscrt (`pip install raytl[crt]`). Source:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import binascii
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Protocol, TypeAlias

MODE = ("x-amz-checksum-mode", "ENABLED")
"""The request header that asks for the object's checksums."""
_MD5 = re.compile("[0-9a-fA-F]{32}")
_Crc: TypeAlias = "Callable[[bytes | memoryview, int], int]"


class Digest(Protocol):
    """A checksum of the bytes so far."""

    def update(self, content: bytes | memoryview, /) -> None:
        """Add bytes."""
        ...

    def digest(self) -> bytes:
        """Return the checksum."""
        ...


class _Rolling:
    """A cyclic redundancy check of `size` bytes."""

    def __init__(self, crc: _Crc, size: int) -> None:
        self._crc, self._size, self._value = crc, size, 0

    def update(self, content: bytes | memoryview, /) -> None:
        self._value = self._crc(content, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def announced(headers: Mapping[str, str]) -> tuple[Digest, bytes] | None:
    """Return a new digest and its announced value, from response headers (names in lower case); None if nothing can be verified.

    A checksum of the parts' checksums cannot be verified, nor the ETag of a multipart or an encrypted object.
    """
    whole = headers.get("x-amz-checksum-type", "").upper() != "COMPOSITE"
    for name, (create, size) in _ALGORITHMS.items() if whole else ():
        value = _decoded(headers.get(f"x-amz-checksum-{name}", ""))
        if len(value) == size and (digest := create()) is not None:
            return digest, value
    etag = headers.get("etag", "").strip('"')
    if _MD5.fullmatch(etag) and not _encrypted(headers):
        return _hash("md5"), bytes.fromhex(etag)
    return None


def sha256(expected: str) -> tuple[Digest, bytes]:
    """Return a new digest, and the SHA-256 in hexadecimal digits that it is to have."""
    return _hash("sha256"), bytes.fromhex(expected)


def use_awscrt(folder: str) -> None:
    """Import awscrt from this folder when it is first needed."""
    sys.path.append(folder)


def _encrypted(headers: Mapping[str, str]) -> bool:
    """Return whether the ETag is not an MD5 because of SSE-KMS or SSE-C."""
    return headers.get("x-amz-server-side-encryption", "").startswith("aws:kms") or any(
        name.startswith("x-amz-server-side-encryption-customer") for name in headers
    )


def _decoded(value: str) -> bytes:
    """Return the bytes of a checksum; none for another text, such as `<checksum>-<parts>`."""
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


@cache
def _of_awscrt(name: str) -> _Crc | None:
    try:
        crc: _Crc | None = getattr(import_module("awscrt.checksums"), name, None)
    except ImportError:
        return None
    return crc


def _hash(name: str) -> Digest:
    import hashlib  # loads OpenSSL, which a CRC does not need

    return hashlib.new(name, usedforsecurity=False)


def _awscrt(name: str, size: int) -> Digest | None:
    crc = _of_awscrt(name)
    return crc and _Rolling(crc, size)


# the cheapest first; SHA-1 is faster than MD5 too, and verifies the same: accidents
_ALGORITHMS: dict[str, tuple[Callable[[], Digest | None], int]] = {
    "crc64nvme": (partial(_awscrt, "crc64nvme", 8), 8),
    "crc32c": (partial(_awscrt, "crc32c", 4), 4),
    "crc32": (partial(_Rolling, zlib.crc32, 4), 4),
    "sha256": (partial(_hash, "sha256"), 32),
    "sha1": (partial(_hash, "sha1"), 20),
}
