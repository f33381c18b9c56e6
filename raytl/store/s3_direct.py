"""Read whole objects and pages of listings by urllib3 alone: boto3 takes 2 ms of Python for each.

A read succeeds only with a plain 200 response; that of an object has an announced length, and bytes that match its checksum, if
it has one. boto3 then repeats any other read, with its retries, and reports its error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote

import urllib3

from raytl.store import checksums
from raytl.store.fetch_workers import Credentials, Route, signed
from raytl.store.s3_body import MAX_RESPONSE_BYTES
from raytl.store.s3_settings import S3Settings

_Response: TypeAlias = urllib3.BaseHTTPResponse


def connections(s3: S3Settings, cafile: str, count: int) -> urllib3.PoolManager:
    """Return up to `count` persistent connections to each host, which authorities in `cafile` vouch for; none is opened yet."""
    timeout = urllib3.Timeout(connect=s3.connect_timeout_s, read=s3.read_timeout_s)
    return urllib3.PoolManager(maxsize=count, timeout=timeout, retries=False, ca_certs=cafile or None)


def read_whole(
    pool: urllib3.PoolManager, route: Route, credentials: Credentials | None, key: str, max_bytes: int
) -> bytes | None:
    """Return the bytes of an object of at most `max_bytes`, verified; None if anything about it is unusual."""
    request = signed(route, credentials, key, time.time())
    return _read(pool, route, request, lambda response: _verified(response, max_bytes))


def read_listing(
    pool: urllib3.PoolManager, route: Route, credentials: Credentials | None, parameters: Mapping[str, str]
) -> bytes | None:
    """Return the body of a listing's page; None if anything about it is unusual."""
    query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(parameters.items()))
    return _read(pool, route, signed(route, credentials, "", time.time(), query), _body)


def _read(
    pool: urllib3.PoolManager,
    route: Route,
    request: tuple[str, dict[str, str]],
    read: Callable[[_Response], bytes | None],
) -> bytes | None:
    path, headers = request
    host, port = route.address
    try:
        response = pool.connection_from_host(host, port, route.scheme).urlopen(
            "GET", path, headers=headers, redirect=False, preload_content=False, decode_content=False
        )
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    try:
        return read(response)
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    finally:
        response.close()  # a connection whose response was read whole is free already, and stays open


def _body(response: _Response) -> bytes | None:
    if response.status != 200:
        return None
    content = response.read(MAX_RESPONSE_BYTES + 1, decode_content=False)
    return content if len(content) <= MAX_RESPONSE_BYTES else None


def _verified(response: _Response, max_bytes: int) -> bytes | None:
    headers = {name.lower(): value for name, value in response.headers.items()}
    size = headers.get("content-length", "")
    if response.status != 200 or "transfer-encoding" in headers or not (size.isascii() and size.isdecimal()):
        return None
    if len(size) > len(str(max_bytes)) or int(size) > max_bytes:
        return None
    content = response.read(decode_content=False)
    checksum = checksums.announced(headers)
    if checksum is not None:
        checksum[0].update(content)
        if checksum[0].digest() != checksum[1]:
            return None
    return content if len(content) == int(size) else None
