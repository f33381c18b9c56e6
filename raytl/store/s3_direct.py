"""Read whole objects by urllib3 alone: boto3 takes 2 ms of Python an object, which streaming many small images cannot afford.

A read succeeds only with a plain 200 response of an announced length whose bytes match its checksum, if it has one. boto3 then
repeats any other read, with its retries, and reports its error.
"""

from __future__ import annotations

import time

import urllib3

from raytl.store import checksums
from raytl.store.fetch_workers import Credentials, Route, signed
from raytl.store.s3_settings import S3Settings


def connections(s3: S3Settings, cafile: str, count: int) -> urllib3.PoolManager:
    """Return up to `count` persistent connections to each host, which authorities in `cafile` vouch for; none is opened yet."""
    timeout = urllib3.Timeout(connect=s3.connect_timeout_s, read=s3.read_timeout_s)
    return urllib3.PoolManager(maxsize=count, timeout=timeout, retries=False, ca_certs=cafile or None)


def read_whole(
    pool: urllib3.PoolManager, route: Route, credentials: Credentials | None, key: str, max_bytes: int
) -> bytes | None:
    """Return the bytes of an object of at most `max_bytes`, verified; None if anything about it is unusual."""
    path, headers = signed(route, credentials, key, time.time())
    host, port = route.address
    try:
        response = pool.connection_from_host(host, port, route.scheme).urlopen(
            "GET", path, headers=headers, redirect=False, preload_content=False, decode_content=False
        )
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    try:
        return _verified(response, max_bytes)
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    finally:
        response.close() if response.length_remaining else response.release_conn()


def _verified(response: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes | None:
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
