"""Access to the endpoints: the token, the Host header on this machine, and the prefixes that a URI may be in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from raytl.serving.options import is_loopback
from raytl.serving.refusal import Refusal
from raytl.uris import S3, bucket_and_key

PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_MAX_URI = 2048


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of a server: its token (None: only this machine connects), and whether probes need it."""

    token: str | None = field(repr=False)
    are_probes_open: bool

    def check(self, path: str, headers: Mapping[bytes, bytes], client: str) -> None:
        """Check a request from the address `client` before anything of it is read.

        Raises:
            Refusal: 401 without the token. Where there is none: 403 for other machines, which reach a replica of Ray past its
                proxy; 421 for a foreign Host and 403 for a foreign Origin, as a web page in a browser of this machine may ask too.
        """
        if self.token is None:
            if not is_loopback(client):
                raise Refusal(403, "without a token, only this machine is served; set a token")
            _check_browser(headers)
        elif not (self.are_probes_open and path in PROBES) and not self.knows(headers):
            raise Refusal(
                401,
                "no valid token; expected the header `Authorization: Bearer TOKEN`",
                {"www-authenticate": "Bearer"},
            )

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether the request has the token, or none is needed; compares in constant time."""
        if self.token is None:
            return True
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        is_same = hmac.compare_digest(_digest(given.strip()), _digest(self.token.encode()))
        return is_same and scheme.lower() == b"bearer"


def allowed_uri(uri: str, allow: Sequence[str]) -> str:
    """Return `uri` if it names an object below one of the prefixes.

    Raises:
        Refusal: 403, or 400 if it names no object of a bucket.
    """
    bucket, key = bucket_and_key(uri)
    if not uri.startswith(S3) or len(uri) > _MAX_URI or not bucket or not key or not uri.isprintable():
        raise Refusal(400, "uri: expected s3://bucket/key")
    if "#" in uri or {"", ".", ".."} & set(key.split("/")):
        raise Refusal(400, "uri: expected s3://bucket/key without '#' and without empty, '.' and '..' parts")
    if not any(_is_below(uri, prefix) for prefix in allow):
        raise Refusal(403, "uri: not below a prefix of --allow")
    return uri


def _is_below(uri: str, prefix: str) -> bool:
    return uri.startswith(prefix.rstrip("/") + "/")


def _check_browser(headers: Mapping[bytes, bytes]) -> None:
    host = _host(headers.get(b"host", b"").decode("latin-1"))
    if host and not is_loopback(host):
        raise Refusal(421, "without a token, the Host must be localhost or 127.0.0.1; set a token to serve other names")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and not is_loopback(_host(origin.partition("://")[2])):
        raise Refusal(403, "without a token, pages of other origins are refused; set a token")


def _host(text: str) -> str:
    """Return a Host without its port."""
    if text.startswith("["):
        return text.partition("]")[0].removeprefix("[")
    return text.rpartition(":")[0] if ":" in text else text


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def header_map(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name.

    Raises:
        Refusal: 400 for a header that decides access or the body and is there twice.
    """
    by_name: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in by_name and name in _ONCE:
            raise Refusal(400, f"{name.decode('latin-1')}: sent twice; expected once")
        by_name[name] = value
    return by_name


_ONCE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin", b"transfer-encoding"})
