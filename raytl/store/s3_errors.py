"""Translate boto3's errors into raytl's: one table by code and one by class, else by HTTP status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as vendor

from raytl.disk import disk_error
from raytl.errors import Archived, Conflict, Denied, DiskError, NotFound, StoreError, Unavailable
from raytl.store.archive import restore_advice

_NOT_IMPLEMENTED = 501

# error codes of S3 and compatible stores; others are translated by HTTP status
_BY_CODE: dict[str, type[StoreError]] = {
    **dict.fromkeys(("NoSuchBucket", "NoSuchKey", "NotFound"), NotFound),
    **dict.fromkeys(("PreconditionFailed", "ConditionalRequestConflict"), Conflict),
    **dict.fromkeys(("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"), Denied),
    "InvalidObjectState": Archived,
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "AccountProblem", "RequestTimeTooSkewed"), Denied),
    **dict.fromkeys(("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"), Unavailable),
    **dict.fromkeys(("InternalError", "ServiceUnavailable", "RequestTimeout"), Unavailable),
}
_BY_KIND: tuple[tuple[tuple[type[Exception], ...], type[StoreError]], ...] = (
    ((vendor.NoCredentialsError, vendor.PartialCredentialsError, vendor.CredentialRetrievalError), Denied),
    ((vendor.ProfileNotFound, vendor.TokenRetrievalError, vendor.UnauthorizedSSOTokenError), Denied),
    ((vendor.HTTPClientError, vendor.IncompleteReadError, vendor.ConnectionError), Unavailable),
    ((vendor.FlexibleChecksumError,), Unavailable),
)
ADVICE: dict[type[StoreError], str] = {
    NotFound: "check the bucket and the key, and AWS_ENDPOINT_URL if the store is not Amazon's",
    Denied: "check the credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), their permissions and "
    "this machine's clock",
    Unavailable: "the store or the network failed; run the same command again to resume",
    Conflict: "another process wrote it first",
    StoreError: "check the URI, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL",
}

_UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError)
"""Raised when a response lacks an expected key, or has another type under it."""
_MAX_QUOTED = 200
_MAX_SIZE_DIGITS = 15


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Translate boto3's errors into raytl's."""
    try:
        yield
    except (vendor.BotoCoreError, vendor.ClientError) as exc:
        kind = kind_of(exc)
        if kind is Archived:
            raise Archived(f"{where}: archived in {_archive(exc)}; {restore_advice(where)}") from exc
        raise kind(f"{where}: {exc}; {ADVICE[kind]}") from exc
    except (ConnectionError, TimeoutError) as exc:
        raise Unavailable(f"{where}: {exc}; {ADVICE[Unavailable]}") from exc
    except DiskError:
        raise
    except OSError as exc:
        raise disk_error(exc) or StoreError(f"{where}: {exc}") from exc
    except _UNREADABLE as exc:
        raise StoreError(
            f"{where}: the store's response cannot be read ({type(exc).__name__}: {str(exc)[:_MAX_QUOTED]}); expected a response of S3; "
            f"{ADVICE[StoreError]}"
        ) from exc


def _archive(exc: Exception) -> str:
    """Return the storage class and tier in the error of a rejected read."""
    error = exc.response["Error"] if isinstance(exc, vendor.ClientError) else {}
    named = (str(error[name]) for name in ("StorageClass", "AccessTier") if error.get(name))
    return " ".join(named) or "another storage class"


def kind_of(exc: Exception) -> type[StoreError]:
    """Return raytl's class for an error of boto3."""
    if isinstance(exc, vendor.ClientError):
        code, status = exc.response["Error"].get("Code", ""), exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        return _BY_CODE.get(code) or _by_status(status)
    return next((kind for classes, kind in _BY_KIND if isinstance(exc, classes)), StoreError)


def is_not_implemented(exc: vendor.ClientError) -> bool:
    """Return whether the store does not implement the request."""
    status: int = exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status == _NOT_IMPLEMENTED


def is_rejected(exc: vendor.ClientError) -> bool:
    """Return whether the store rejects the request itself, perhaps for one of its headers, and gives no other known reason."""
    status: int = exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status in (400, _NOT_IMPLEMENTED) and kind_of(exc) is StoreError


def _by_status(status: int) -> type[StoreError]:
    if status in (429, 408) or (status >= 500 and status != _NOT_IMPLEMENTED):
        return Unavailable
    return {404: NotFound, 412: Conflict, 401: Denied, 403: Denied}.get(status, StoreError)


def size_of(text: str) -> int:
    """Return the size that a response gives as `text`.

    Raises:
        ValueError: it is not a size.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_SIZE_DIGITS):
        raise ValueError(f"a size of {text[:40]!r} bytes")
    return int(text)
