"""What goes wrong with boto3, in words of ours: one table, and what is in no row of it by its HTTP status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore import exceptions as vendor

from raytl.disk import disk_error
from raytl.errors import Archived, Conflict, Denied, DiskError, NotFound, StoreError, Unavailable
from raytl.store.archive import restore_advice

_NOT_IMPLEMENTED = 501

# What S3 and its like answer, in words of ours; what is not here is told by the HTTP status.
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
)
ADVICE: dict[type[StoreError], str] = {
    NotFound: "check the bucket and the key, and AWS_ENDPOINT_URL if the store is not Amazon's",
    Denied: "check the credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), what they allow, and "
    "this machine's clock",
    Unavailable: "the store or the network is in trouble; the same command goes on from what is done",
    Conflict: "somebody else wrote there first",
    StoreError: "check the URI, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL",
}

_UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError)
"""What an answer without a key, or with another thing under it, ends in."""
_MAX_SHOWN = 200
_MAX_SIZE_DIGITS = 15


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns boto3's errors into ours, once."""
    try:
        yield
    except (vendor.BotoCoreError, vendor.ClientError, Boto3Error) as exc:
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
            f"{where}: the store's answer cannot be read ({type(exc).__name__}: {str(exc)[:_MAX_SHOWN]}); expected S3's; "
            f"{ADVICE[StoreError]}"
        ) from exc


def _archive(exc: Exception) -> str:
    """Return the storage class and tier that a refused read tells of."""
    told = exc.response["Error"] if isinstance(exc, vendor.ClientError) else {}
    named = (str(told[name]) for name in ("StorageClass", "AccessTier") if told.get(name))
    return " ".join(named) or "another storage class"


def kind_of(exc: Exception) -> type[StoreError]:
    """The class of ours that this error of boto3's is."""
    if isinstance(exc, vendor.ClientError):
        code, status = exc.response["Error"].get("Code", ""), exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        return _BY_CODE.get(code) or _by_status(status)
    if exc.__context__ is not None and isinstance(exc, Boto3Error):  # upload_file wraps what happened
        return kind_of(exc.__context__) if isinstance(exc.__context__, Exception) else StoreError
    return next((kind for classes, kind in _BY_KIND if isinstance(exc, classes)), StoreError)


def is_not_implemented(exc: vendor.ClientError) -> bool:
    """True where the store says that it does not know of what was asked."""
    status: int = exc.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status == _NOT_IMPLEMENTED


def _by_status(status: int) -> type[StoreError]:
    if status in (429, 408) or (status >= 500 and status != _NOT_IMPLEMENTED):
        return Unavailable
    return {404: NotFound, 412: Conflict, 401: Denied, 403: Denied}.get(status, StoreError)


def size_of(text: str) -> int:
    """Return the size that an answer has as `text`.

    Raises:
        ValueError: it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_SIZE_DIGITS):
        raise ValueError(f"a size of {text[:40]!r} bytes")
    return int(text)
