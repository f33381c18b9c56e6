"""A bucket's prefix as an object store, through boto3."""

from __future__ import annotations

import builtins
import hashlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

from botocore import exceptions as vendor

from raytl.errors import Conflict, NotFound, StoreError, Unavailable
from raytl.gc_pause import gc_paused
from raytl.store import checksums
from raytl.store.archive import ARCHIVES, archive_of
from raytl.store.contract import ABSENT, MAX_BYTES, ObjectInfo, replaced
from raytl.store.fetch_workers import Route, Wanted, download, is_direct, usable
from raytl.store.files import atomic_write
from raytl.store.s3_body import body, body_to_file
from raytl.store.s3_client import cached_client, client, forget_client
from raytl.store.s3_direct import read_listing, read_whole
from raytl.store.s3_errors import ADVICE, is_not_implemented, is_rejected, kind_of, translated
from raytl.store.s3_listing import rows_below
from raytl.store.s3_page import Page, Row, whole_page
from raytl.store.s3_settings import ENVIRONMENT, S3Settings

__all__ = ["PAGE_KEYS", "S3Store", "cached_client", "client", "forget_client"]

PAGE_KEYS = 1000
"""Objects on one page of a listing."""
_COPY_BYTES = 1 << 30
_NO_ETAG = "0" * 32
_DAMAGED = "The object, its checksum or the network is at fault. Run the same command again; if it fails again, upload the object again"
_LISTS = {"list-type": "2", "encoding-type": "url"}
_PARAMETERS = {
    "Prefix": "prefix",
    "MaxKeys": "max-keys",
    "Delimiter": "delimiter",
    "ContinuationToken": "continuation-token",
}
T = TypeVar("T")
_MD5 = re.compile("[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class S3Store:
    """The objects of `bucket` below `prefix` (empty, or without a slash at its ends).

    It pickles: clients belong to the process, not to the store."""

    bucket: str
    prefix: str = ""
    s3: S3Settings = ENVIRONMENT

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with `prefix`; if there are many, folders are listed in parallel."""
        with translated(self._name(prefix)), gc_paused():
            infos = self._infos(rows_below(self._page, self._full(prefix)))
        yield from infos if markers else _without_markers(infos)

    def _page(self, full: str, delimiter: str, token: str) -> Page:
        """Return a page of a listing: the bucket's first by boto3, which finds its address, the others directly."""
        wanted = {"Prefix": full, "MaxKeys": PAGE_KEYS}
        wanted |= {"Delimiter": "/"} if delimiter else {}
        wanted |= {"ContinuationToken": token} if token else {}
        return self._direct_page(wanted) or self._page_by_boto3(wanted)

    def _page_by_boto3(self, wanted: Mapping[str, Any]) -> Page:
        page = client(self.s3).list_objects_v2(Bucket=self.bucket, **wanted)
        folders = [folder["Prefix"] for folder in page.get("CommonPrefixes", ())]
        return Page(page.get("Objects", []), folders, page["NextContinuationToken"] if page["IsTruncated"] else "")

    def _direct_page(self, wanted: Mapping[str, Any]) -> Page | None:
        cached = cached_client(self.s3)
        route = cached.routes.get(self.bucket)
        if route is None or not is_direct(route):
            return None
        parameters = {_PARAMETERS[name]: str(value) for name, value in wanted.items()}
        body = read_listing(cached.connections, route, cached.signed_with(), {**parameters, **_LISTS})
        with suppress(ValueError):  # boto3 reports it
            return None if body is None else whole_page(body)
        return None

    def _infos(self, rows: Iterable[Row]) -> builtins.list[ObjectInfo]:
        base = len(self._full(""))
        return [
            ObjectInfo(key[base:], size, etag, storage if storage in ARCHIVES else "")
            for key, size, etag, storage in rows
        ]

    def first_page(self) -> tuple[builtins.list[ObjectInfo], bool, float | None]:
        """Return up to 1,000 objects, whether there are more, and the store's clock (Unix time in seconds) if it sends one."""
        with translated(self.uri):
            page = client(self.s3).list_objects_v2(Bucket=self.bucket, Prefix=self._full(""), MaxKeys=PAGE_KEYS)
            date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
            return (
                _without_markers(self._infos(page.get("Objects", ()))),
                bool(page["IsTruncated"]),
                date and parsedate_to_datetime(date).timestamp(),
            )

    def stat(self, key: str) -> ObjectInfo:
        """Return the object's metadata, by a HEAD request."""
        with translated(self._name(key)):
            head = client(self.s3).head_object(Bucket=self.bucket, Key=self._full(key))
            return ObjectInfo(key, head["ContentLength"], head["ETag"].strip('"'), archive_of(head))

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, max_bytes: int = MAX_BYTES) -> bytes:
        """Read a range of the object, or all of it, checked against its MD5 as in `get_to_file`."""
        if length == 0:
            return b""
        if (start, length) == (0, None):
            return self._whole(key, max_bytes)
        wanted = f"bytes={start}-{'' if length is None else start + length - 1}"
        with translated(self._name(key)):
            try:
                response = client(self.s3).get_object(Bucket=self.bucket, Key=self._full(key), Range=wanted)
                return body(response, max_bytes if length is None else length, self._name(key))
            except vendor.ClientError as exc:
                if exc.response["Error"].get("Code") != "InvalidRange":
                    raise
                return b""  # it ends before `start`

    def _whole(self, key: str, max_bytes: int) -> bytes:
        if (whole := self._direct(key, max_bytes)) is not None:
            return whole
        digests: set[str] = set()
        with translated(self._name(key)):
            while len(digests) < 2:
                content, digest, announced = self._read(key, lambda one: self._content(key, one, max_bytes))
                if digest in digests or digest == announced:
                    cached_client(self.s3).count_read(self.bucket)
                    return content
                digests.add(digest)
        raise Unavailable(f"{self._name(key)}: the bytes do not match the MD5 that the store announced")

    def _content(self, key: str, response: dict[str, Any], max_bytes: int) -> tuple[bytes, str]:
        content = body(response, max_bytes, self._name(key))
        return content, hashlib.md5(content, usedforsecurity=False).hexdigest()

    def _read(self, key: str, read: Callable[[dict[str, Any]], tuple[T, str]]) -> tuple[T, str, str]:
        """Return what `read` makes of a whole object, the MD5 that it computed, and the announced one (the same if none was).

        If the bytes do not match the store's CRC, the object is read again and verified by its MD5.
        """
        response = self._get(key)
        try:
            value, digest = read(response)
        except vendor.FlexibleChecksumError as exc:
            response = self._request(key)
            value, digest = read(response)
            if digest != _announced(response):
                raise Unavailable(f"{self._name(key)}: {exc}, and its ETag is not their MD5. {_DAMAGED}") from exc
            cached_client(self.s3).count_wrong_checksum(self.bucket)
        return value, digest, _announced(response) or digest

    def _direct(self, key: str, max_bytes: int) -> bytes | None:
        """Return the object without boto3, once many were read; None leaves it to boto3."""
        cached = cached_client(self.s3)
        if (route := cached.direct.get(self.bucket)) is None:
            return None
        content = read_whole(cached.connections, route, cached.signed_with(), self._full(key), max_bytes)
        if content is None:
            cached.count_failure(self.bucket)
        return content

    def _get(self, key: str) -> dict[str, Any]:
        """Request a whole object; boto3 verifies the checksum that the store has of it, if any."""
        cached = cached_client(self.s3)
        if self.bucket in cached.without_checksums:
            return self._request(key)
        try:
            return self._request(key, ChecksumMode=checksums.MODE[1])
        except vendor.ClientError as exc:
            if not is_rejected(exc):
                raise
        response = self._request(key)
        cached.stop_checksums(self.bucket, "it rejects requests for checksums")
        return response

    def _request(self, key: str, **parameters: str) -> dict[str, Any]:
        response: dict[str, Any] = client(self.s3).get_object(Bucket=self.bucket, Key=self._full(key), **parameters)
        return response

    def get_to_file(self, key: str, path: Path, size: int, etag: str | None = None) -> None:
        """Stream the object to the file, up to its listed size, and compare its MD5 with the ETag.

        After a mismatch, download it once more: if the same bytes arrive, the ETag is not an MD5 in this store.
        """
        with translated(self._name(key)), atomic_write(path) as part:
            served, digest, announced = self._stream(key, part, size)
            if digest != announced:
                served, again, announced = self._stream(key, part, size)
                if again not in (digest, announced):
                    raise Unavailable(f"{self._name(key)}: the bytes do not match the MD5 that the store announced")
            if etag not in (None, served, digest):  # the listed ETag may be the MD5 though a gateway sends another
                self._reject_replaced(key, etag)

    def _stream(self, key: str, part: Path, size: int) -> tuple[str, str, str]:
        """Write the object to `part`; return its ETag, the MD5 of its bytes, and the announced one (the same if none was)."""
        name = self._name(key)
        return self._read(
            key, lambda response: (response.get("ETag", "").strip('"'), body_to_file(response, part, size, name))
        )

    def _reject_replaced(self, key: str, listed: str | None) -> None:
        """Raise an error unless an object that came with another ETag than the listed one is the listed one all the same: some
        stores list other ETags than they send (copies of large objects in OpenStack Swift)."""
        now = self._infos(self._page_by_boto3({"Prefix": self._full(key), "MaxKeys": 1}).rows)
        if [(info.key, info.etag) for info in now] != [(key, listed)]:
            raise StoreError(replaced(self._name(key)))
        if self.stat(key).etag == listed:
            raise Unavailable(f"{self._name(key)}: was replaced for a moment after the listing")

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Download in worker processes, from the address at which boto3 listed the bucket; see `fetch_workers`."""
        if (route := self._bulk_route(len(wanted))) is None:
            return
        arrived = False
        for info in self._bulk(route, wanted, folder):
            arrived = True
            yield info
        if not arrived and self._rejects_checksums(wanted[0].key) and (route := self._bulk_route(len(wanted))):
            yield from self._bulk(route, wanted, folder)

    def _bulk_route(self, count: int) -> Route | None:
        """Return the address of the bucket; None if `count` objects are too few for worker processes, or it is not usable."""
        route = cached_client(self.s3).routes.get(self.bucket)
        return route if route is not None and usable(route, count) else None

    def _bulk(self, route: Route, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        base, top = self._full(""), str(folder)
        jobs = [Wanted(info, base + info.key, f"{top}/{info.key}") for info in wanted]
        yield from download(route, cached_client(self.s3).signed_with, jobs, self.s3.read_timeout_s)

    def _rejects_checksums(self, key: str) -> bool:
        """Return whether a read shows now that the store rejects requests for checksums."""
        cached = cached_client(self.s3)
        if self.bucket in cached.without_checksums:
            return False
        with suppress(vendor.BotoCoreError, vendor.ClientError, OSError):  # a later read reports it
            self._get(key)["Body"].close()
        return self.bucket in cached.without_checksums

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """Store the bytes by one request, conditional by If-Match or If-None-Match.

        The current ETag is checked before: some stores ignore conditions, and some (OpenStack Swift) reject them, so that
        this check is the only one."""
        if expected is not None and expected != self._etag(key):
            raise Conflict(f"{self._name(key)}: does not have the expected etag; {ADVICE[Conflict]}")
        with translated(self._name(key)):
            try:
                response = self._put(key, content, expected)
            except vendor.ClientError as exc:
                if expected is None or not is_not_implemented(exc):
                    raise
                response = self._put(key, content, None)
            # Swift sends none with a write that another one has overtaken
            etag = response.get("ETag") or hashlib.md5(content, usedforsecurity=False).hexdigest()
            return ObjectInfo(key, len(content), etag.strip('"'))

    def guards(self, key: str, content: bytes) -> bool:
        """Put `content` again under conditions that do not hold; return whether the store rejects both."""
        return all(self._rejects(key, content, expected) for expected in (ABSENT, _NO_ETAG))

    def _rejects(self, key: str, content: bytes, expected: str) -> bool:
        with translated(self._name(key)):
            try:
                self._put(key, content, expected)
            except vendor.ClientError as exc:
                if kind_of(exc) is Conflict:
                    return True
                if not is_not_implemented(exc):
                    raise
        return False

    def _put(self, key: str, content: bytes, expected: str | None) -> dict[str, Any]:
        condition = (
            {} if expected is None else {"IfNoneMatch": "*"} if expected == ABSENT else {"IfMatch": f'"{expected}"'}
        )
        response: dict[str, Any] = client(self.s3).put_object(
            Bucket=self.bucket, Key=self._full(key), Body=content, **condition
        )
        return response

    def _etag(self, key: str) -> str:
        try:
            return self.stat(key).etag
        except NotFound:
            return ABSENT

    def put_file(self, path: Path, key: str) -> None:
        """Upload the file, in parts if it is large."""
        with translated(self._name(key)), self._transfers() as transfers:
            transfers.upload(str(path), self.bucket, self._full(key)).result()

    def copy(self, source: str, key: str) -> None:
        """Copy within the store; in parts only if the object is very large, because Swift does not support conditional copies of
        parts."""
        whole = {"Bucket": self.bucket, "Key": self._full(source)}
        with translated(self._name(source)), self._transfers(multipart_threshold=_COPY_BYTES) as transfers:
            transfers.copy(whole, self.bucket, self._full(key)).result()

    def _transfers(self, **settings: int) -> Any:
        """Return boto3's transfer manager, a context: the classic one, as that of awscrt cannot copy."""
        from boto3.s3.transfer import (
            TransferConfig,
            create_transfer_manager,
        )  # takes as long to import as all else here

        return create_transfer_manager(client(self.s3), TransferConfig(preferred_transfer_client="classic", **settings))

    def delete(self, key: str) -> None:
        """Delete the object."""
        with translated(self._name(key)):
            client(self.s3).delete_object(Bucket=self.bucket, Key=self._full(key))

    def exists(self, key: str) -> bool:
        """Return whether the object exists, by a HEAD request."""
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._full(key)}"


def _without_markers(infos: list[ObjectInfo]) -> list[ObjectInfo]:
    return [info for info in infos if info.key and not info.key.endswith("/")]


def _announced(response: dict[str, Any]) -> str | None:
    """Return the MD5 in an object's ETag; None if it is not one (multipart uploads, SSE-KMS, SSE-C)."""
    etag = response["ETag"].strip('"')
    is_encrypted = (
        str(response.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in response
    )
    return etag.lower() if _MD5.fullmatch(etag) and not is_encrypted else None
