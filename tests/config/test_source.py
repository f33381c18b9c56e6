"""YAML without YAML 1.1's surprises, and with the line of every key."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raytl.config.source import SourceError, parse, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2", -2),
        ("010", 10),
        ("0x10", 16),
        ("178_956_970", 178956970),
        ("1__0", "1__0"),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("off", "off"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("none", "none"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_an_unquoted_word_means_what_it_looks_like(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)
    assert parse(f"a: {text}").value == {"a": value}


def test_infinities_are_numbers() -> None:
    assert scalar("-.inf") == -math.inf
    assert math.isnan(scalar(".nan"))


def test_quoted_words_and_keys_are_text() -> None:
    assert parse("'1': '1e-3'\ntrue: \"null\"\n").value == {"1": "1e-3", "true": "null"}


def test_every_path_has_its_line() -> None:
    source = parse("a: 1\nb:\n  c: [1,\n   2]\n")
    assert source.lines == {(): 1, ("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0): 3, ("b", "c", 1): 4}


def test_a_repeated_key_is_reported_with_both_lines() -> None:
    assert parse("a: 1\nb: {c: 1,\n c: 2}\na: 2\n").repeated == ((("b", "c"), 2, 3), (("a",), 1, 4))


def test_an_empty_document_is_nothing() -> None:
    assert parse("# only a comment\n").value is None


@pytest.mark.parametrize(
    ("text", "line", "fault", "advice"),
    [
        ("a:\n\t- b", 2, "cannot start any token", "indent with spaces"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed", "Quote text"),
        ("a: 1\n---\nb: 2", 2, "another document", "one experiment a file"),
        ("a: *b", 1, "undefined alias", "quote text that begins with"),
        ("a: !!python/object/apply:os.system [ls]", 1, r"not YAML|the tag", ""),
        ("a: !!python/name:os.system x", 1, "the tag '!!python/name:os.system'", "tags are not supported"),
        ("? [a]\n: b", 1, "a key that is a list", "keys are words"),
        ("a: &x {b: *x}", 1, "an alias .* inside its own anchor", "write the values out"),
        ("a: [1", 1, "expected ',' or ']'", ""),
        ("a: \x07", None, "not YAML", ""),
    ],
)
def test_text_that_cannot_be_read_is_an_error_with_its_line(
    text: str, line: int | None, fault: str, advice: str
) -> None:
    if "apply" in text:
        assert parse(text).value == {"a": ["ls"]}  # a list is a list, whatever its tag says; nothing runs
        return
    with pytest.raises(SourceError, match=fault) as caught:
        parse(text)
    assert caught.value.line == line
    assert advice in caught.value.advice


def test_anchors_that_multiply_are_stopped() -> None:
    text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(SourceError, match="more than 20000 values"):
        parse(text)
