"""The fast reading of a listing's page gives what ElementTree gives, or leaves the page to it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from raytl.store.s3_page import Page, _parsed, _scanned, read_page, whole_page

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
ONE = "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>15</Size><StorageClass>GLACIER</StorageClass></Contents>"
OWNED = '<Contents>\n <Key>b</Key>\n <Size>0</Size><Owner><ID>1</ID><DisplayName>x</DisplayName></Owner><ETag>"c-2"</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType></Contents>'


def page(inside: str, head: str = HEAD, encoding: str = "<EncodingType>url</EncodingType>") -> bytes:
    return f"{head}<Name>b</Name>{encoding}<IsTruncated>false</IsTruncated>{inside}</ListBucketResult>".encode()


@pytest.mark.parametrize(
    "body",
    [
        page(ONE.format(key="a/b+c%2B%C3%A9.jpg") + "\n " + OWNED),
        page(OWNED + ONE.format(key="é") + "<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>"),
        page(ONE.format(key="100%25"), encoding=""),
        page(ONE.format(key="a"), head="<ListBucketResult>"),
    ],
)
def test_usual_pages_are_scanned_as_they_are_parsed(body: bytes) -> None:
    scanned, parsed = _scanned(body), _parsed(body)
    assert scanned is not None and parsed is not None
    assert scanned[0] == parsed[0]
    assert _parsed(scanned[1]) == ([], parsed[1]), "the rest of the page is left to boto3"
    assert read_page(body) == scanned


@pytest.mark.parametrize(
    "body",
    [
        page(ONE.format(key="a&amp;b")),
        page(ONE.format(key="a&#233;b")),
        page("<!-- " + ONE.format(key="a") + " -->"),
        page(ONE.format(key="<![CDATA[a]]>")),
        page(f"<?x {ONE.format(key='a')} ?>"),
        page(ONE.format(key="a") + "<KeyCount>1</KeyCount>" + ONE.format(key="b")),
        page(ONE.format(key="a").replace("<Size>", "<Unknown>1</Unknown><Size>")),
        page(ONE.format(key="a"), head='<!DOCTYPE x [<!ENTITY e "f">]><ListBucketResult>'),
        page(ONE.format(key="a"), head='<ListBucketResult a="b">'),
        page(ONE.format(key="\x01")),
        page(""),
        ONE.format(key="a").encode(),
        page(ONE.format(key="é")).decode().encode("latin-1"),
        page(ONE.format(key="a")).decode().encode("utf-16"),
        b"",
    ],
)
def test_any_other_page_is_left_to_elementtree(body: bytes) -> None:
    assert _scanned(body) is None
    assert read_page(body) == _parsed(body)


@pytest.mark.parametrize("encoded", ["a+b.jpg", "a%20b.jpg"])
def test_a_plus_in_an_encoded_key_is_a_space(encoded: str) -> None:
    for body in (page(ONE.format(key=encoded)), page(ONE.format(key=encoded) + "<!-- -->")):
        found = read_page(body)
        assert found is not None and found[0][0][0] == "a b.jpg"


REST = "<CommonPrefixes><Prefix>d+%C3%A9/</Prefix></CommonPrefixes><NextContinuationToken>t+%</NextContinuationToken>"


def test_a_whole_page_has_its_folders_and_its_token() -> None:
    body = page(ONE.format(key="a") + REST).replace(b">false<", b">true<")
    assert whole_page(body) == Page([("a", 15, "abc", "GLACIER")], ["d é/"], "t+%")
    assert whole_page(page(REST)) == Page([], ["d é/"], ""), "the last page has no next one"


@pytest.mark.parametrize(
    "body", [page(REST).replace(b">false<", b">maybe<"), page("").replace(b">false<", b">true<"), b"<html/>", b""]
)
def test_a_page_that_does_not_say_whether_it_is_the_last_is_left_to_boto3(body: bytes) -> None:
    assert whole_page(body) is None


@pytest.mark.parametrize(
    "body",
    [
        page(ONE.format(key="a") + REST)[: -len("</ListBucketResult>")],
        page(ONE.format(key="a") + "<Prefix>a&b</Prefix>"),
        page(REST + "<Prefix>a&b</Prefix>"),
        page(ONE.format(key="a"), head='<?xml version="1.0" encoding="unheard-of"?><ListBucketResult>'),
        page(ONE.format(key="a"), head='<?xml version="1.0" encoding="shift_jis"?><ListBucketResult>'),
    ],
)
def test_a_page_that_cannot_be_parsed_is_left_to_boto3(body: bytes) -> None:
    assert whole_page(body) is None


@pytest.mark.parametrize("size", ["", "abc", "-1", "1e9", "9" * 5000, "٤"])
def test_a_size_that_is_no_number_is_an_error(size: str) -> None:
    with pytest.raises(ValueError, match="a size of "):
        read_page(page(ONE.format(key="a").replace("15", size)))


@pytest.mark.parametrize(
    "inside",
    [
        "<Contents>" + " " * 200_000 + "</Contents>",
        "<Contents>" * 50_000 + "</Contents>",
        "<Contents>" + "<Key>a</Key>" * 50_000 + "<x></Contents>",
        "<Contents>" + "<Owner>" * 50_000 + "</Contents>",
    ],
)
def test_a_hostile_page_takes_linear_time(inside: str) -> None:
    """With backtracking, each of these takes longer than the time limit of a test."""
    with suppress(ValueError):
        _scanned(page(inside))
