"""Values with comments, as YAML that other parsers read like PyYAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raytl.kube.commented_yaml import Commented, commented_yaml


def test_comments_stand_above_their_values() -> None:
    document = {
        "a": Commented("two\nlines", 1),
        "b": {"c": Commented("held", {"d": []})},
        "e": [Commented("first", {"f": 2, "g": 3}), "hh"],
    }
    assert commented_yaml(document) == (
        "# two\n# lines\na: 1\nb:\n  # held\n  c:\n    d: []\ne:\n  # first\n  - f: 2\n    g: 3\n  - hh\n"
    )


@pytest.mark.parametrize(
    "value",
    ["", "yes", "y", "on", "null", "1e3", "0x1F", "12", "1.5", "a: b", "a #b", "- a", "'", '"', "*x", "&x", "%", "@", "`",
     "two\nlines", "ends\n", "\n", " in\nout", "a\n\n", "a\r\nb", " space ", "über", "🙂", "a\tb", True, False, 0, 7, {}, [], [[1], {"a": 1}], {"a": {"b": ["c"]}}],
)  # fmt: skip
def test_the_text_parses_to_the_same_values(value: Any) -> None:
    assert yaml.safe_load(commented_yaml({"key": value, "more": [value]})) == {"key": value, "more": [value]}


def test_text_that_other_parsers_read_as_number_or_boolean_is_quoted() -> None:
    assert commented_yaml({"a": "1e3", "b": "y", "c": "200Gi", "d": "Gi"}) == 'a: "1e3"\nb: "y"\nc: "200Gi"\nd: Gi\n'
