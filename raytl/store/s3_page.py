"""Read the objects of a ListObjectsV2 page: by one regular expression if the page has the form that stores send, else by ElementTree.

The expression takes a fifth of ElementTree's time. It accepts only plain text: with an entity, a comment, a namespace prefix, an
unknown element or another encoding, the whole page goes to ElementTree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from raytl.store.s3_errors import size_of

Row = tuple[str, int, str, str]
"""Key, size in bytes, ETag and storage class."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing; `token` asks for the next one, and is empty if this is the last."""

    rows: list[Row]
    folders: list[str]
    token: str


_TEXT = r"[^<>&\x00-\x1f]*+"
_IGNORED = "|".join(
    rf"<{name}>{_TEXT}</{name}>" for name in ("LastModified", "ChecksumAlgorithm", "ChecksumType", "Type")
)
_QUOTE = '(?:&quot;|&#34;|")?+'
# possessive, and begun by a literal, so that no body takes more than linear time
_OBJECT = re.compile(
    rf"(<Contents>(?:\s++|<Key>({_TEXT})</Key>|<ETag>{_QUOTE}([^<>&\"\x00-\x1f]*+){_QUOTE}</ETag>|<Size>([0-9]{{1,15}}+)</Size>"
    rf"|<StorageClass>({_TEXT})</StorageClass>|{_IGNORED}"
    rf"|<Owner>(?:\s++|<ID>{_TEXT}</ID>|<DisplayName>{_TEXT}</DisplayName>)*+</Owner>)*+</Contents>\s*+)"
)
_START = re.compile(
    r"(?:<\?xml version=[\"']1\.0[\"'](?: encoding=[\"']utf-8[\"'])?(?: standalone=[\"']yes[\"'])?\s*\?>)?\s*"
    r"<ListBucketResult(?:\s+xmlns=\"[^\"<&]*\")?\s*>",
    re.IGNORECASE,
)
_FIRST, _LAST = "<Contents>", "</Contents>"
_URL_ENCODED = "<EncodingType>url</EncodingType>"


def read_page(body: bytes) -> tuple[list[Row], bytes] | None:
    """Return the objects of a page, and the page without them; None if it is not one.

    Raises:
        ValueError: a size is not a number.
    """
    return _scanned(body) or _parsed(body)


def whole_page(body: bytes) -> Page | None:
    """Return a page with its folders and token; None if it is not one.

    Raises:
        ValueError: a size is not a number.
    """
    if (page := read_page(body)) is None:
        return None
    rows, rest = page
    if (root := _root(rest)) is None:
        return None
    space = root.tag.removesuffix("ListBucketResult")
    decoded = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
    folders = [decoded(one.findtext(f"{space}Prefix", "")) for one in root.findall(f"{space}CommonPrefixes")]
    is_last = {"false": True, "true": False}.get(root.findtext(f"{space}IsTruncated", ""))
    token = "" if is_last else root.findtext(f"{space}NextContinuationToken", "")
    return Page(rows, folders, token) if is_last or (is_last is False and token) else None


def _scanned(body: bytes) -> tuple[list[Row], bytes] | None:
    """Return the same from a page of the usual form; None for any other."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    start = _START.match(text)
    begin, end = text.find(_FIRST), text.rfind(_LAST) + len(_LAST)
    if start is None or begin < 0 or "<!" in text or text.find("<?", 1) >= 0:
        return None
    matches = _OBJECT.findall(text, begin, end)
    if sum(len(one[0]) for one in matches) != end - begin:
        return None
    rest = text[:begin] + text[end:]
    is_encoded = _URL_ENCODED in rest
    rows = [
        (unquote_plus(key) if is_encoded and ("%" in key or "+" in key) else key, int(size), etag, storage)
        for _, key, etag, size, storage in matches
    ]
    return rows, rest.encode()


def _parsed(body: bytes) -> tuple[list[Row], bytes] | None:
    if (page := _root(body)) is None:
        return None
    before, brace, kind = page.tag.rpartition("}")
    if kind != "ListBucketResult":
        return None
    space = before + brace
    decoded = unquote_plus if page.findtext(f"{space}EncodingType") == "url" else str
    elements = page.findall(f"{space}Contents")
    names = [f"{space}{name}" for name in ("Key", "Size", "ETag", "StorageClass")]
    fields = ([one.findtext(name, "") for name in names] for one in elements)
    rows = [(decoded(key), size_of(size), etag.strip('"'), storage) for key, size, etag, storage in fields]
    for one in elements:
        page.remove(one)
    return rows, ElementTree.tostring(page)


def _root(body: bytes) -> ElementTree.Element | None:
    """Return the root element; None if it cannot be parsed or has an unknown encoding, which boto3 reports."""
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - expat bounds entities; boto3 reads it so too
    except (ElementTree.ParseError, LookupError, ValueError):
        return None
