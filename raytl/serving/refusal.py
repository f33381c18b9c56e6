"""A request that is not answered: the status, and the reason for its sender."""

from __future__ import annotations

from collections.abc import Mapping

from raytl.errors import Denied, NotFound, RaytlError, StoreError, TooLarge, Unavailable, first_line


class Refusal(Exception):
    """A request is refused with `status`; `reason` is for its sender, and names no path of this machine."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, dict(headers or {})


class RequestError(RaytlError):
    """The JSON of a request is wrong."""


def busy(retry_after_s: int, reason: str) -> Refusal:
    """Return the refusal of a request that comes while the server is full."""
    return Refusal(503, reason, {"retry-after": str(max(1, retry_after_s))})


def of_store(error: StoreError) -> Refusal:
    """Return the refusal for an object that cannot be fetched."""
    if isinstance(error, NotFound):
        return Refusal(404, "uri: no such object")
    if isinstance(error, Denied):
        return Refusal(403, "uri: the bucket denies access to this server")
    if isinstance(error, TooLarge):
        return Refusal(413, "uri: the object is larger than this server accepts")
    if isinstance(error, Unavailable):
        return busy(5, "uri: the bucket does not answer; retry later")
    return Refusal(502, f"uri: {first_line(error)[:200]}")
