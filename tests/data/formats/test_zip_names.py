"""Zips name their files in the encoding of the system that made them, and seldom say which that is."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from raytl.data.formats import scan
from raytl.data.formats.zip_names import encoding_note, zip_names
from raytl.data.manifest import Manifest
from raytl.errors import DataError


def info(raw: bytes, utf8: bool = False, unicode_path: str | None = None, of: bytes | None = None) -> zipfile.ZipInfo:
    """A member as `zipfile` reads it: its name decoded by the flag, its extra field as it is."""
    made = zipfile.ZipInfo(raw.decode("utf-8" if utf8 else "cp437"))
    made.flag_bits = 0x800 if utf8 else 0
    if unicode_path is not None:
        field = struct.pack("<BL", 1, zlib.crc32(raw if of is None else of)) + unicode_path.encode()
        made.extra = struct.pack("<HHL", 0x5455, 4, 0) + struct.pack("<HH", 0x7075, len(field)) + field
    return made


CAT = "猫/1.jpg"


@pytest.mark.parametrize(
    ("infos", "encoding", "names", "guessed"),
    [
        ([info(CAT.encode(), utf8=True)], None, [CAT], []),
        ([info(CAT.encode(), utf8=True)], "cp1252", [CAT], []),
        ([info(CAT.encode())], None, [CAT], []),  # as macOS writes it
        ([info(CAT.encode("cp932"))], "cp932", [CAT], []),
        ([info(CAT.encode("cp932"), unicode_path=CAT)], None, [CAT], []),
        ([info(CAT.encode("cp932"), unicode_path=CAT)], "gbk", [CAT], []),
        ([info(b"caf\x82/1.jpg")], None, ["café/1.jpg"], ["café/1.jpg"]),
        ([info(b"caf\xe9/1.jpg")], "cp1252", ["café/1.jpg"], []),
        ([info(b"cat/1.jpg")], None, ["cat/1.jpg"], []),
        # a field that was made for another name is out of date: the name was changed by a tool that does not know it
        ([info(b"caf\x82", unicode_path=CAT, of=b"old")], None, ["café"], ["café"]),
        # one name that is not UTF-8 decides for all: an archive has one encoding
        ([info(b"\x82"), info("é".encode())], None, ["é", "├⌐"], ["é", "├⌐"]),
    ],
)
def test_names_are_decoded_as_the_archive_says_else_as_it_was_meant(
    infos: list[zipfile.ZipInfo], encoding: str | None, names: list[str], guessed: list[str]
) -> None:
    assert zip_names(infos, encoding) == (names, guessed)


def test_names_that_are_not_in_the_given_encoding_are_an_error_that_shows_one() -> None:
    with pytest.raises(DataError, match=r"data\.zip_encoding: utf-8 cannot decode the name b'caf\\x82' of the zip"):
        zip_names([info(b"caf\x82")], "utf-8")


def test_the_note_shows_the_folders_that_a_guess_gave_and_names_the_key() -> None:
    note = encoding_note("a.zip", ["ö/1.jpg", "ö/ü.jpg", "a/é.jpg"])
    assert (
        "encoding of 3 names" in note and "gives the folders\n  'ö'\nIf they look wrong, set data.zip_encoding" in note
    )
    assert "gives the files\n  'é.jpg'\n" in encoding_note("a.zip", ["a/é.jpg"])


class Unmarked(zipfile.ZipInfo):
    """A member whose name is written as cp932 without the UTF-8 flag, as Windows in Japan does."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("cp932"), 0


def japanese(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name in ("写真/猫/1.jpg", "写真/猫/2.jpg", *names):
            out.writestr(Unmarked(name), name)
    return path


def read(manifest: Manifest) -> dict[str, tuple[str, str]]:
    return {sample.key: (sample.label, Path(sample.path).read_text()) for sample in manifest.samples}


def test_a_zip_in_another_encoding_is_read_by_its_key_and_warned_of_without_it_each_time(tmp_path: Path) -> None:
    path = japanese(tmp_path / "a.zip", "写真/犬/3.jpg")
    for _ in range(2):
        guessed = scan(str(path))
        assert "猫" not in guessed.classes
        assert sum("set data.zip_encoding" in line for line in guessed.warnings) == 1
    right = scan(str(path), zip_encoding="cp932")
    assert right.warnings == ()
    assert read(right) == {
        "猫/1.jpg": ("猫", "写真/猫/1.jpg"),
        "猫/2.jpg": ("猫", "写真/猫/2.jpg"),
        "犬/3.jpg": ("犬", "写真/犬/3.jpg"),
    }


def test_the_key_is_named_too_where_wrong_names_are_no_dataset(tmp_path: Path) -> None:
    path = japanese(tmp_path / "a.zip", "写真/犬/表.jpg")  # its second byte is that of a backslash
    with pytest.raises(DataError, match=r"(.|\n)*set data\.zip_encoding"):
        scan(str(path))
    assert scan(str(path), zip_encoding="cp932").classes == ("犬", "猫")
