"""The classification of objects as files, folder markers and invalid keys."""

from __future__ import annotations

import re

import pytest

from raytl.errors import DataError
from raytl.store.contract import ObjectInfo
from raytl.store.keys import files_and_markers, reject_invalid_keys


def infos(**sizes: int) -> list[ObjectInfo]:
    return [ObjectInfo(key, size, "e") for key, size in sizes.items()]


@pytest.mark.parametrize(
    ("sizes", "markers"),
    [
        ({"cat": 0, "cat/1.jpg": 9}, ["cat"]),
        ({"a": 0, "a/b": 0, "a/b/1.jpg": 9}, ["a", "a/b"]),
        ({"": 0, "cat/": 0, "cat/1.jpg": 9}, ["", "cat/"]),
        ({"cat/": 0, "dog": 0}, ["cat/"]),
        ({"cat_$folder$": 0, "x/dog_$folder$": 0, "cat/1.jpg": 9}, ["cat_$folder$", "x/dog_$folder$"]),
        ({"cat": 5, "cat/": 0}, ["cat/"]),
        ({"empty.jpg": 0, "cat/1.jpg": 9}, []),
    ],
)
def test_an_empty_object_at_the_name_of_a_folder_is_a_marker(sizes: dict[str, int], markers: list[str]) -> None:
    files, keys = files_and_markers(infos(**sizes))
    assert keys == markers
    assert [info.key for info in files] == [key for key in sizes if key not in markers]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"cat": 7, "cat/1.jpg": 9}, "'cat': it is an object of 7 bytes and also a folder of others"),
        ({"double": 1, "/dog/99.jpg": 9}, "'/dog/99.jpg': it contains an empty folder name"),
        ({"a//b": 9}, "'a//b': it contains an empty folder name (it begins with a slash, or has two in a row)"),
        ({"cat/./x.jpg": 9}, "'cat/./x.jpg': it contains '.' or '..' as a folder name"),
        ({"../x.jpg": 9}, "'../x.jpg': it contains '.' or '..' as a folder name"),
        ({"cat/": 12}, "'cat/': it ends in a slash and is not empty"),
        ({"a\0b": 9}, "it contains a NUL character"),
        ({f"cat/{'n' * 300}.jpg": 9}, "nnn.jpg': it contains a name of 304 bytes"),
        ({"é" * 128: 9}, "it contains a name of 256 bytes"),
    ],
)
def test_an_object_that_cannot_be_a_file_is_named_with_the_reason(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(reason)) as raised:
        reject_invalid_keys("s3://bkt/set", files_and_markers(infos(**sizes))[0])
    assert str(raised.value).startswith(
        f"s3://bkt/set: 1 of {len(sizes)} keys cannot be files; expected names of at most"
    )
    assert len(str(raised.value)) < 500


def test_of_many_invalid_keys_some_are_named_and_all_are_counted() -> None:
    with pytest.raises(DataError, match=r"40 of 41 keys cannot be files(?s:.*)\n  \.\.\. and 35 more$"):
        reject_invalid_keys("s3://bkt", infos(**{f"a//{i}": 1 for i in range(40)}, good=1))


def test_unusual_characters_are_valid() -> None:
    reject_invalid_keys(
        "s3://b", infos(**{f"{name}/1 (1).JPG": 1 for name in ("a+b", "50% off", "q?x", "h#sh", "~", "q'u\"", "ü")})
    )
