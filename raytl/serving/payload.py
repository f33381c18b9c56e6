"""The photos in a body: raw bytes, the files of a form, or the URI of an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from raytl.serving.refusal import Refusal, RequestError
from raytl.stored import Format
from raytl.stored.bounds import at_most

_RAW = frozenset({"application/octet-stream", "application/x-www-form-urlencoded", ""})
"""curl --data-binary sends the second one if nobody says otherwise."""
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Photo:
    """The bytes of a photo, and the name that its sender gave it."""

    content: bytes
    name: str = ""


@dataclass(frozen=True, slots=True)
class UriRequest:
    """The JSON body of /predict."""

    uri: Annotated[str, at_most(2048)]


URI_FORMAT = Format[UriRequest](
    UriRequest, "a request", 'Send {"uri": "s3://bucket/key"}.', RequestError, max_bytes=1 << 16
)


def media_type(headers: Mapping[bytes, bytes]) -> str:
    """Return the media type of the body in lower case, without its parameters."""
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()


def is_form(kind: str) -> bool:
    """Return whether the body is a form with files."""
    return kind == "multipart/form-data"


def check_media_type(kind: str) -> None:
    """Check that a body of this type can have photos.

    Raises:
        Refusal: 415.
    """
    if not (kind.startswith("image/") or kind in _RAW or kind == "application/json" or is_form(kind)):
        raise Refusal(
            415,
            f"Content-Type {kind[:80]!r}; expected image/*, application/octet-stream, multipart/form-data or application/json",
        )


def uri_in(body: bytes) -> str:
    """Return the URI that a JSON body names.

    Raises:
        Refusal: 400, it is malformed.
    """
    try:
        return URI_FORMAT.read(body, "the request").uri
    except RequestError as error:
        raise Refusal(400, str(error)) from None


def files_of(body: bytes, headers: Mapping[bytes, bytes], limit: int) -> list[Photo]:
    """Return the files of a multipart form; fields that are not files are refused.

    Raises:
        Refusal: 400 for a malformed form or one without files, 413 for more than `limit`.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(headers[b"content-type"])[1].get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise Refusal(400, "Content-Type: expected a boundary of 200 characters at most")
    form = _Form(limit)
    try:
        parser = MultipartParser(boundary, form.callbacks(), max_size=len(body))  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, f"malformed form: {error}") from None
    if not form.is_complete:
        raise Refusal(400, "malformed form: its last boundary is missing")
    if not form.photos:
        raise Refusal(400, "a form without files; expected one or more, such as `curl --form photo=@a.jpg`")
    return form.photos


class _Form:
    """The parts of a form, as the parser finds them."""

    def __init__(self, limit: int) -> None:
        self.photos: list[Photo] = []
        self.is_complete = False
        self._limit = limit
        self._name, self._value, self._headers, self._data = bytearray(), bytearray(), dict[bytes, bytes](), bytearray()

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, bytearray()
        self._name, self._value = bytearray(), bytearray()

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        from python_multipart.multipart import parse_options_header

        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        if (filename := options.get(b"filename")) is None:
            raise Refusal(400, "a form with a field that is no file; expected files only")
        if len(self.photos) >= self._limit:
            raise Refusal(413, f"more than {self._limit} files; expected {self._limit} at most")
        self.photos.append(Photo(bytes(self._data), filename.decode("utf-8", "replace")[:_MAX_NAME]))

    def _complete(self) -> None:
        self.is_complete = True
