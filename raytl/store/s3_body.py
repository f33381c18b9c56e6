"""Read response bodies up to the listed size: a body may end elsewhere than announced, or never."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.response import StreamingBody

from raytl.errors import StoreError, TooLarge, Unavailable
from raytl.store.contract import resized, too_large
from raytl.store.counted import ByteCount, Counted, TooManyBytes, read_up_to

MAX_RESPONSE_BYTES = 64 << 20
"""Limit for a response that is not an object: 1,000 keys of 1,024 bytes, each byte escaped, are a tenth of it."""
_CHUNK_BYTES = 1 << 20


def body(response: dict[str, Any], max_bytes: int, where: str) -> bytes:
    """Return the bytes of an object, at most `max_bytes`.

    Raises:
        TooLarge: it is larger.
    """
    try:
        return read_up_to(response["Body"], max_bytes)
    except TooManyBytes as exc:
        response["Body"].close()
        raise TooLarge(too_large(where, max_bytes)) from exc


def body_to_file(response: dict[str, Any], path: Path, size: int, where: str) -> str:
    """Write an object of the listed `size` to the file, and return its MD5.

    Raises:
        TooLarge: more bytes arrived.
        StoreError: the store announces a different size.
        Unavailable: it ended early.
    """
    announced = response.get("ContentLength", size)
    if announced != size:
        raise StoreError(resized(where, announced, size))
    digest, source = hashlib.md5(usedforsecurity=False), Counted(response["Body"], ByteCount(size))
    try:
        with path.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
    except TooManyBytes as exc:
        response["Body"].close()
        raise TooLarge(
            f"{where}: more bytes arrived than the {size:,} listed; expected the object to end there. Check the object"
        ) from exc
    if source.tell() != size:
        raise Unavailable(f"{where}: {source.tell()} bytes arrived; expected {size}")
    return digest.hexdigest()


def limit_responses(client: Any) -> None:
    """Limit a boto3 client to `MAX_RESPONSE_BYTES` of a response that is not an object: a listing, a head, an error.

    boto3 reads such responses whole. A handler of this event may send the request itself.
    """
    session = client._endpoint.http_session

    def sent(request: Any, **_: Any) -> Any:
        is_object = request.stream_output
        request.stream_output = True  # its body is read below
        response = session.send(request)
        if not is_object or response.status_code >= 300:
            response.raw = _BufferedBody(_read_response(response.raw, request.url.partition("?")[0]))
        return response

    client.meta.events.register_last("before-send.s3", sent)


def _read_response(raw: Any, url: str) -> bytes:
    try:
        return read_up_to(StreamingBody(raw, content_length=None), MAX_RESPONSE_BYTES)  # raises boto3's own errors
    except TooManyBytes as exc:
        raw.close()
        raise StoreError(
            f"{url}: the response is longer than {MAX_RESPONSE_BYTES:,} bytes; expected a response of an S3 store. "
            "Check AWS_ENDPOINT_URL"
        ) from exc


@dataclass(frozen=True)
class _BufferedBody:
    """A response body that is already read."""

    content: bytes

    def stream(self) -> Iterator[bytes]:
        """Yield the body."""
        yield self.content
