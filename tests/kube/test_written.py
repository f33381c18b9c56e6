"""Values, each with its reason, as YAML that other readers than PyYAML read alike."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from raytl.kube.written import Why, written


def test_reasons_stand_above_what_they_are_for() -> None:
    document = {
        "a": Why("two\nlines", 1),
        "b": {"c": Why("held", {"d": []})},
        "e": [Why("first", {"f": 2, "g": 3}), "hh"],
    }
    assert written(document) == (
        "# two\n# lines\na: 1\nb:\n  # held\n  c:\n    d: []\ne:\n  # first\n  - f: 2\n    g: 3\n  - hh\n"
    )


@pytest.mark.parametrize(
    "value",
    ["", "yes", "y", "on", "null", "1e3", "0x1F", "12", "1.5", "a: b", "a #b", "- a", "'", '"', "*x", "&x", "%", "@", "`",
     "two\nlines", "ends\n", "\n", " in\nout", "a\n\n", "a\r\nb", " space ", "über", "🙂", "a\tb", True, False, 0, 7, {}, [], [[1], {"a": 1}], {"a": {"b": ["c"]}}],
)  # fmt: skip
def test_what_is_written_reads_back_the_same(value: Any) -> None:
    assert yaml.safe_load(written({"key": value, "more": [value]})) == {"key": value, "more": [value]}


def test_what_another_reader_could_take_for_a_number_or_a_truth_is_quoted() -> None:
    assert written({"a": "1e3", "b": "y", "c": "200Gi", "d": "Gi"}) == 'a: "1e3"\nb: "y"\nc: "200Gi"\nd: Gi\n'
