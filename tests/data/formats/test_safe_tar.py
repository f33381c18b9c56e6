"""Tars byte by byte, as nobody should write them, read within bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from raytl.data.formats.safe_tar import opened
from raytl.store.counted import ByteCount, TooManyBytes

END = bytes(1024)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """A member's header."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


def pax(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A header of pax that holds `content`."""
    return header("pax", kind, len(content)) + padded(content)


def field(name: str, value: str) -> bytes:
    """A field of pax."""
    size = len(name) + len(value) + 3
    digits = len(str(size + len(str(size))))
    return f"{size + digits} {name}={value}\n".encode()


FILE = header("red/0.jpg", size=3) + padded(b"abc")


def members(path: Path, content: bytes, most: int = 1 << 30) -> dict[str, bytes]:
    """The files in a tar of these bytes."""
    path.write_bytes(content)
    found = {}
    with opened(path, ByteCount(most)) as tar:
        for info in tar.walk():
            file = tar.extractfile(info)
            found[info.name] = b"" if file is None else file.read()
    return found


@pytest.mark.parametrize(
    "packed", [bytes, gzip.compress, bz2.compress, lzma.compress, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)]
)
def test_tars_are_read_however_they_are_packed(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert members(tmp_path / "a", packed(FILE + header("b", size=600) + padded(b"x" * 600) + END)) == {
        "red/0.jpg": b"abc",
        "b": b"x" * 600,
    }


def test_a_plain_tar_whose_first_name_begins_like_a_compressed_file_is_plain(tmp_path: Path) -> None:
    assert list(members(tmp_path / "a", header("BZh9.jpg") + END)) == ["BZh9.jpg"]


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_as_tarfile_writes_them(format_: int, tmp_path: Path) -> None:
    names = ["d/" * 60 + "é.jpg", "x" * 200, "d/" * 20 + "y"]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format_, pax_headers={"comment": "of all"}) as out:
        for name in names:
            out.addfile(tarfile.TarInfo(name))
    assert list(members(tmp_path / "a", stream.getvalue())) == names


def test_the_size_in_a_header_of_pax_counts(tmp_path: Path) -> None:
    content = pax(field("size", "3") + field("path", "red/1.jpg")) + header("x") + padded(b"abc") + FILE + END
    assert members(tmp_path / "a", content) == {"red/1.jpg": b"abc", "red/0.jpg": b"abc"}


@pytest.mark.parametrize("behind", [FILE + END, FILE])
def test_everything_that_is_inflated_counts(behind: bytes, tmp_path: Path) -> None:
    content = behind + bytes(1 << 20)
    with pytest.raises(TooManyBytes, match="more than 100,000 bytes received"):
        members(tmp_path / "a", gzip.compress(content), most=100_000)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"X"]
)
def test_a_member_has_few_headers_before_its_own(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(tarfile.ReadError, match="more than 8 headers before one member"):
        members(tmp_path / "a", pax(field("path", "x"), kind) * 2000 + FILE + END)
    assert list(members(tmp_path / "b", (pax(field("comment", "x")) * 8 + FILE) * 3 + END)) == ["red/0.jpg"]


def test_a_header_of_pax_that_holds_digits_alone_costs_no_time(tmp_path: Path) -> None:
    assert list(members(tmp_path / "a", pax(b"1" * (1 << 20)) + FILE + END)) == ["red/0.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        pax(field("GNU.sparse.major", "1") + field("GNU.sparse.minor", "0") + field("GNU.sparse.realsize", "9" * 30))
        + FILE,
        pax(field("GNU.sparse.map", "0,1")) + FILE,
        header("red/0.jpg", tarfile.GNUTYPE_SPARSE),
    ],
)
def test_the_map_of_a_sparse_file_is_not_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content + END)
    with opened(tmp_path / "a", ByteCount(1 << 20)) as tar:
        assert [info.type for info in tar.walk()] == [tarfile.GNUTYPE_SPARSE]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, b"Z"])
def test_a_negative_size_does_not_lead_back(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(tarfile.ReadError, match=r"-1,024 bytes"):
        members(tmp_path / "a", FILE + header("x", kind, -1024) + END)


@pytest.mark.parametrize("end", [b"", bytes(100), FILE[:300]])
def test_a_tar_without_its_end_is_not_whole(end: bytes, tmp_path: Path) -> None:
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        members(tmp_path / "a", FILE + end)


def test_two_tars_in_one_file_are_not_one(tmp_path: Path) -> None:
    with pytest.raises(tarfile.ReadError, match="data after the end marker"):
        members(tmp_path / "a", (FILE + END) * 2)
