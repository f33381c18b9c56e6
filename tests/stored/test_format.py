"""A format reads bytes, files and lines, and its errors name the object, the field and what to do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import ModelError
from raytl.events import Message, Recorder
from raytl.stored import Format


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


POINT = Format[Point](Point, "a point", "Draw it again.", ModelError, max_bytes=100, max_total_bytes=1000)


def test_a_value_is_read_and_unknown_keys_are_listed_once() -> None:
    seen = Recorder()
    assert POINT.read(b'{"x": 1, "format": 1}', "p.json", seen) == Point(1)
    assert seen.events == []
    POINT.read(b'{"x": 1, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1}', "p.json", seen)
    text = "p.json: ignored keys that this version of raytl does not know: a, b, c, d, e and 1 more"
    assert seen.events == [Message(text, "warning")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"x": "1"}', "p.json: x: found the text '1'; expected an integer. Draw it again."),
        (b"1", "p.json: cannot be read as a point: found 1; expected an object with the keys x, y. Draw it again."),
        (b" " * 101, "p.json: cannot be read as a point: found 101 bytes; expected 100 at most. Draw it again."),
        (
            b'{"x": 1, "format": 2}',
            "p.json: format: found 2; expected 1, as a newer raytl wrote it (upgrade raytl to read it). Draw it again.",
        ),
    ],
)
def test_an_error_names_the_object_the_field_and_what_to_do(content: bytes, text: str) -> None:
    with pytest.raises(ModelError, match=r".") as raised:
        POINT.read(content, "p.json")
    assert str(raised.value) == text


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(ModelError, match=r"p\.json: cannot be read \(No such file or directory\); expected a point"):
        POINT.load(path)
    path.write_bytes(b'{"x": 1}')
    assert POINT.load(path) == Point(1)
    path.write_bytes(b" " * 101)
    with pytest.raises(ModelError, match=r"p\.json: found 101 bytes; expected 100 at most"):
        POINT.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError, match=r"p\.json: not a regular file; expected a point"):
        POINT.load(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.json")
    with pytest.raises(ModelError, match="not a regular file"):
        POINT.load(tmp_path / "p.json")


def test_lines_are_read_in_order_and_their_unknown_keys_are_listed_once() -> None:
    seen = Recorder()
    assert list(POINT.lines(b'{"x": 1, "a": 0}\n{"x": 2, "a": 0}', "p", seen)) == [Point(1), Point(2)]
    assert seen.events == [Message("p: ignored keys that this version of raytl does not know: a", "warning")]
    assert list(POINT.lines(b"", "p")) == []
    assert list(POINT.lines(b'{"x": 1}\n', "p")) == [Point(1)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"x": 1}\n{"x": 2', r"p:2: cannot be read as a point: line 1, column 8 is not JSON"),
        (b'{"x": 1}\n\n{"x": 2}', r"p:2: cannot be read as a point: line 1, column 1 is not JSON"),
        (b'{"x": 1}\n{"y": 2}\n', r"p:2: x: missing; expected a value\. Draw it again\."),
        (b'{"x": 1}\n' * 200, r"p: found 1,800 bytes; expected 1,000 at most"),
    ],
)
def test_an_error_in_a_line_has_its_number(content: bytes, text: str) -> None:
    with pytest.raises(ModelError, match=text):
        list(POINT.lines(content, "p"))


def test_parsed_values_are_typed() -> None:
    plain: Any = {"x": 1}
    assert POINT.typed(plain, "p") == Point(1)
    with pytest.raises(ModelError, match="p: x: found null; expected an integer"):
        POINT.typed({"x": None}, "p")
