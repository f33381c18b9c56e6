"""JSON is read within bounds, and errors name the problem."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from raytl.stored.document import MAX_DEPTH, parse
from raytl.stored.fault import Fault


@pytest.mark.parametrize(
    "value", [None, True, 0, -1, 2**63, 0.5, "", "кошка", "\ud800", [], {}, [[1], {"a": [None]}], {"a": {"b": 1}}]
)
def test_a_written_value_is_read_back(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


def test_a_byte_order_mark_is_not_part_of_the_value() -> None:
    assert parse(b"\xef\xbb\xbf[1]") == [1]


def test_numbers_that_are_not_finite_are_left_to_the_schema() -> None:
    values = parse(b"[NaN, Infinity, -Infinity]")
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 1, column 1 is not JSON (Expecting value); expected JSON"),
        (b'{"a": 1', "line 1, column 8 is not JSON (Expecting ',' delimiter); expected JSON"),
        (b"{}\n{}", "line 2, column 1 is not JSON (Extra data); expected JSON"),
        (b'"\xff"', "byte 1 is not UTF-8; expected JSON in UTF-8"),
        (b"[1]".decode().encode("utf-16"), "byte 0 is not UTF-8; expected JSON in UTF-8"),
        (b'{"a": 1, "b": 2, "a": 3}', "one object has the key 'a' twice; expected each key once"),
        (b'[{"x": {"a": 1, "a": 1}}]', "one object has the key 'a' twice; expected each key once"),
        (b"9" * 1001, "a number has 1001 digits; expected 1000 at most"),
        (b"9" * 5000, "a number has 5000 digits; expected 1000 at most"),
        (b"1e999", "the number 1e999 is too large; expected a 64-bit floating-point number"),
        (b"[" * 100_000, "it is nested deeper than 32 levels; expected a flatter value"),
        (b'{"a":' * 100_000, "it is nested deeper than 32 levels; expected a flatter value"),
        (b"[" * 33 + b"]" * 33, "it is nested deeper than 32 levels; expected a flatter value"),
    ],
)
def test_invalid_or_unbounded_json_is_an_error_that_names_the_problem(content: bytes, fault: str) -> None:
    with pytest.raises(Fault, match=r".") as raised:
        parse(content)
    assert str(raised.value) == fault


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_the_depth_counts_nesting_and_not_siblings(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    parse(opening * MAX_DEPTH + (b"1" if opening != b"[" else b"") + closing * MAX_DEPTH)
    assert len(parse(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000
    assert parse(b'"' + b"[" * 1000 + b'"') == "[" * 1000
