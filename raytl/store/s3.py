"""A bucket's prefix as an object store, through boto3; the only file that imports it.

Endpoint, region, profile and credentials come from the standard AWS places (AWS_ENDPOINT_URL, AWS_PROFILE ...), but for
what the `storage` section of an experiment sets.
"""

from __future__ import annotations

import builtins
import gc
import hashlib
import os
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore import exceptions as vendor
from botocore.client import Config
from botocore.compat import unquote_str
from botocore.httpsession import where

from raytl.config.schema import StorageConfig
from raytl.errors import Conflict, NotFound, Unavailable
from raytl.store.archive import ARCHIVES, archive_of
from raytl.store.contract import ABSENT, MOST_BYTES, ObjectInfo
from raytl.store.fetch_workers import Route, Wanted, brought, usable
from raytl.store.files import written_whole
from raytl.store.reach import reached
from raytl.store.s3_body import body, body_to_file, bound_answers
from raytl.store.s3_errors import ADVICE, is_not_implemented, kind_of, size_of, translated

CONNECTIONS = 32
PAGE_KEYS = 1000
"""Objects on one page of a listing."""
_COPY_BYTES = 1 << 30
_KEY_BYTES = 1024
_NO_ETAG = "0" * 32
_LISTERS = 16
_MD5 = re.compile("[0-9a-fA-F]{32}")
_clients: dict[tuple[int, str], _Known] = {}
_making = threading.Lock()


def _begin_anew() -> None:
    """In a forked process: whoever held the lock is not here, and sockets are the parent's."""
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


@dataclass(frozen=True, slots=True)
class S3Store:
    """The objects of `bucket` below `prefix` (empty, or without a slash at its ends). Holds strings only, so it pickles."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def list(self, prefix: str = "", *, markers: bool = False) -> Iterator[ObjectInfo]:
        """The objects whose keys begin with `prefix`, folders side by side where there are many."""
        with translated(self._name(prefix)), _uncollected():
            found = self._below(self._full(prefix))
        yield from found if markers else _without_markers(found)

    def _below(self, full: str) -> builtins.list[ObjectInfo]:
        """Everything below a prefix: one page where that is all, else each folder for itself, some at a time."""
        page = client().list_objects_v2(Bucket=self.bucket, Prefix=full, MaxKeys=PAGE_KEYS)
        if not page["IsTruncated"]:
            return self._infos(page)
        pages = (
            client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.bucket, Prefix=full, Delimiter="/", PaginationConfig={"PageSize": PAGE_KEYS})
        )
        found, folders = [], []
        for page in pages:
            found += self._infos(page)
            folders += [_inner(folder["Prefix"], full) for folder in page.get("CommonPrefixes", ())]
        with ThreadPoolExecutor(min(_LISTERS, max(1, len(folders)))) as pool:
            for below in pool.map(self._below, folders):
                found += below
        return sorted(found, key=lambda info: info.key.encode("utf-8", "surrogateescape"))

    def _infos(self, page: dict[str, Any]) -> builtins.list[ObjectInfo]:
        base = len(self._full(""))
        return [
            ObjectInfo(key[base:], size, etag, storage if storage in ARCHIVES else "")
            for key, size, etag, storage in page.get("Objects", ())
        ]

    def first_page(self) -> tuple[builtins.list[ObjectInfo], bool, float | None]:
        """Up to a thousand objects, whether there are more, and the store's clock where it tells it, in seconds since 1970."""
        with translated(self.uri):
            page = client().list_objects_v2(Bucket=self.bucket, Prefix=self._full(""), MaxKeys=PAGE_KEYS)
            date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
            return (
                _without_markers(self._infos(page)),
                bool(page["IsTruncated"]),
                date and parsedate_to_datetime(date).timestamp(),
            )

    def stat(self, key: str) -> ObjectInfo:
        """Asks for the object's head."""
        with translated(self._name(key)):
            head = client().head_object(Bucket=self.bucket, Key=self._full(key))
            return ObjectInfo(key, head["ContentLength"], head["ETag"].strip('"'), archive_of(head))

    def get_bytes(self, key: str, start: int = 0, length: int | None = None, most: int = MOST_BYTES) -> bytes:
        """Asks for a range of the object; of a whole one, what comes is held against its MD5 as in `get_to_file`."""
        if length == 0:
            return b""
        if (start, length) == (0, None):
            return self._whole(key, most)
        wanted = f"bytes={start}-{'' if length is None else start + length - 1}"
        with translated(self._name(key)):
            try:
                answer = client().get_object(Bucket=self.bucket, Key=self._full(key), Range=wanted)
                return body(answer, most if length is None else length, self._name(key))
            except vendor.ClientError as exc:
                if exc.response["Error"].get("Code") != "InvalidRange":
                    raise
                return b""  # it ends before `start`

    def _whole(self, key: str, most: int) -> bytes:
        digests: set[str] = set()
        with translated(self._name(key)):
            while len(digests) < 2:
                answer = client().get_object(Bucket=self.bucket, Key=self._full(key))
                content = body(answer, most, self._name(key))
                digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
                if digest in digests or digest == (_announced(answer) or digest):
                    return content
                digests.add(digest)
        raise Unavailable(f"{self._name(key)}: other bytes came than the store announced")

    def get_to_file(self, key: str, path: Path, size: int) -> None:
        """Streams the object to the file, up to its listed size, and compares its MD5 with what the store announced.

        Other bytes than the ETag says are fetched once more; where the same come again, the ETag is no MD5 there.
        """
        with translated(self._name(key)), written_whole(path) as part:
            found, announced = self._stream(key, part, size)
            if found == announced:
                return
            again, announced = self._stream(key, part, size)
            if again not in (found, announced):
                raise Unavailable(f"{self._name(key)}: other bytes came than the store announced")

    def _stream(self, key: str, part: Path, size: int) -> tuple[str, str]:
        """Writes the object to `part`; the MD5 of what came, and the one that was announced (the same where none was)."""
        answer = client().get_object(Bucket=self.bucket, Key=self._full(key))
        found = body_to_file(answer, part, size, self._name(key))
        return found, _announced(answer) or found

    def get_files(self, wanted: Sequence[ObjectInfo], folder: Path) -> Generator[ObjectInfo, None, None]:
        """Asks for many at once, as boto3 was seen to list them; see `lanes`."""
        known = _known()
        route = known.routes.get(self.bucket)
        if route is not None and usable(route, len(wanted)):
            base, top = self._full(""), str(folder)
            jobs = [Wanted(info, base + info.key, f"{top}/{info.key}") for info in wanted]
            yield from brought(route, known.signed_with, jobs, reached().read_timeout_s)

    def put_bytes(self, key: str, content: bytes, expected: str | None = None) -> ObjectInfo:
        """One request, made conditional by If-Match or If-None-Match. What is there is looked at before: some stores
        ignore conditions, and some (OpenStack Swift) refuse them, to which the look is all there is."""
        if expected is not None and expected != self._etag(key):
            raise Conflict(f"{self._name(key)}: what is there is not what was to be replaced; {ADVICE[Conflict]}")
        with translated(self._name(key)):
            try:
                answer = self._put(key, content, expected)
            except vendor.ClientError as exc:
                if expected is None or not is_not_implemented(exc):
                    raise
                answer = self._put(key, content, None)
            return ObjectInfo(key, len(content), answer["ETag"].strip('"'))

    def guards(self, key: str, content: bytes) -> bool:
        """Puts what is there once more under conditions that do not hold, which is to be refused."""
        return all(self._refuses(key, content, expected) for expected in (ABSENT, _NO_ETAG))

    def _refuses(self, key: str, content: bytes, expected: str) -> bool:
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
        answer: dict[str, Any] = client().put_object(Bucket=self.bucket, Key=self._full(key), Body=content, **condition)
        return answer

    def _etag(self, key: str) -> str:
        try:
            return self.stat(key).etag
        except NotFound:
            return ABSENT

    def put_file(self, path: Path, key: str) -> None:
        """Uploads the file, in parts where it is large."""
        with translated(self._name(key)):
            client().upload_file(str(path), self.bucket, self._full(key))

    def copy(self, source: str, key: str) -> None:
        """The store copies, in parts where the object is very large: those are conditional, which Swift does not know of
        what was put in parts."""
        whole = {"Bucket": self.bucket, "Key": self._full(source)}
        with translated(self._name(source)):
            client().copy(whole, self.bucket, self._full(key), Config=TransferConfig(multipart_threshold=_COPY_BYTES))

    def delete(self, key: str) -> None:
        """Removes the object."""
        with translated(self._name(key)):
            client().delete_object(Bucket=self.bucket, Key=self._full(key))

    def exists(self, key: str) -> bool:
        """Asks for the object's head."""
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._full(key)}"


def _inner(folder: str, full: str) -> str:
    """Return a folder listed below `full`; a ValueError for one that would have the listing go on for ever."""
    if len(folder) <= len(full) or not folder.startswith(full) or len(folder.encode(errors="replace")) > _KEY_BYTES:
        raise ValueError(f"a folder {folder[-40:]!r} below {full[-40:]!r}")
    return folder


def _without_markers(found: list[ObjectInfo]) -> list[ObjectInfo]:
    return [info for info in found if info.key and not info.key.endswith("/")]


def _announced(answer: dict[str, Any]) -> str | None:
    """The MD5 of an object by its ETag; None where that is something else (uploads in parts, keys of the customer's)."""
    etag = answer["ETag"].strip('"')
    is_encrypted = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in answer
    return etag.lower() if _MD5.fullmatch(etag) and not is_encrypted else None


@dataclass(frozen=True, slots=True)
class _Known:
    """A client, its credentials, and how it was seen to ask for each bucket that it listed."""

    client: Any
    credentials: Any
    routes: dict[str, Route]

    def signed_with(self) -> Any:
        """The credentials as they are now; None where there are none."""
        try:
            return self.credentials and self.credentials.get_frozen_credentials()
        except vendor.BotoCoreError:
            return None

    def note(self, request: Any, region_name: str, signature_version: Any, **_: Any) -> None:
        """Remember how a listing is about to be asked for; not where it is signed in a way of its own."""
        bucket, url = request.context.get("input_params", {}).get("Bucket", ""), urlsplit(request.url)
        base = {f"/{bucket}": f"/{bucket}/", "/": "/", "": "/"}.get(url.path)
        if base is None or signature_version not in ("v4", "s3v4", UNSIGNED):
            self.routes.pop(bucket, None)
            return
        region = None if signature_version is UNSIGNED else region_name
        self.routes[bucket] = Route(
            url.scheme, url.netloc, base, region, reached().request_payer, os.environ.get("AWS_CA_BUNDLE") or where()
        )


def client() -> Any:
    """This process's client: a forked worker makes its own, as sockets must not be shared."""
    return _known().client


def _known() -> _Known:
    storage = reached()
    key = (os.getpid(), storage.model_dump_json(exclude={"uri"}))
    with _making:
        if key not in _clients:
            _clients.clear()
            _clients[key] = _new_client(storage)
        return _clients[key]


def forget_client() -> None:
    """The next call reads the environment again."""
    _clients.clear()


def _new_client(storage: StorageConfig) -> _Known:
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 5},
        "max_pool_connections": CONNECTIONS,
        "connect_timeout": storage.connect_timeout_s,
        "read_timeout": storage.read_timeout_s,
        # checksums beyond S3's first protocol are refused by many stores that are not Amazon's
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if storage.anonymous:
        settings["signature_version"] = UNSIGNED
    session = boto3.session.Session(profile_name=storage.profile, region_name=storage.region)

    def made(style: str) -> Any:
        config = Config(**settings, s3={"addressing_style": style})
        return session.client("s3", endpoint_url=storage.endpoint_url, config=config)

    client = made(storage.addressing)
    if storage.addressing == "auto" and "amazonaws.com" not in client.meta.endpoint_url:
        # http://bucket.my-minio:9000 resolves nowhere: stores on one host name want the bucket in the path
        client.close()
        client = made("path")
    known = _Known(client, None if storage.anonymous else session.get_credentials(), {})
    events = client.meta.events
    if storage.request_payer:
        events.register("before-parameter-build.s3", _pay)
    events.register("before-sign.s3.ListObjectsV2", known.note)
    bound_answers(client)
    events.register_first("before-parse.*.*", _read_page)  # ahead of botocore's own, which parses the page twice
    return known


def _pay(params: dict[str, Any], model: Any, **_: Any) -> None:
    if "RequestPayer" in model.input_shape.members:
        params["RequestPayer"] = "requester"


def _read_page(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Takes the objects out of a listing's page before boto3 reads it, which would take it ten times as long."""
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    try:
        page = ElementTree.fromstring(response_dict["body"])  # noqa: S314 - expat bounds entities; boto3 reads it so too
    except ElementTree.ParseError:  # boto3 knows what to say
        return
    before, brace, kind = page.tag.rpartition("}")
    if kind != "ListBucketResult":
        return
    space = before + brace
    decoded = unquote_str if page.findtext(f"{space}EncodingType") == "url" else str
    found = page.findall(f"{space}Contents")
    names = [f"{space}{name}" for name in ("Key", "Size", "ETag", "StorageClass")]
    rows = ([one.findtext(name, "") for name in names] for one in found)
    customized_response_dict["Objects"] = [
        (decoded(key), size_of(size), etag.strip('"'), storage) for key, size, etag, storage in rows
    ]
    for one in found:
        page.remove(one)
    response_dict["body"] = ElementTree.tostring(page)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Many objects are about to be made and kept: the garbage collector would look through all of them again and again,
    which takes as long as the listing itself."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
