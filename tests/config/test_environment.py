"""References to the environment inside text."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.config.environment import escape, interpolate

ENVIRONMENT = {"HOME": "/home/ana", "EMPTY": "", "N": "3"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOME}/photos", "/home/ana/photos"),
        ("${NOPE:-runs}/${N}", "runs/3"),
        ("${N:-7}", "3"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${NOPE:-}", ""),
        ("$HOME costs 5$", "$HOME costs 5$"),
        ("$${HOME}", "${HOME}"),
    ],
)
def test_references_become_values(text: str, value: str) -> None:
    assert interpolate({"a": [text, 1]}, ENVIRONMENT) == ({"a": [value, 1]}, {})


@pytest.mark.parametrize("text", ["${HOME}", "$${x} and ${", "plain"])
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert interpolate(escape(text), {"HOME": "no"}) == (text, {})


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"a": {"b": "${NOPE}"}}, {("a", "b"): "the environment variable NOPE is not set"}),
        (["${"], {(0,): "found '${' without a variable's name and '}'"}),
        (["${1x}"], {(0,): "found '${' without a variable's name and '}'"}),
    ],
)
def test_an_unset_variable_is_reported_with_its_path(value: Any, faults: dict[Any, str]) -> None:
    assert interpolate(value, ENVIRONMENT) == (value, faults)
