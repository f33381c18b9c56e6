"""Plain values become typed ones within bounds, and a fault names its field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from raytl.stored.bounds import (
    Classes,
    Digest,
    FilePath,
    FormerKey,
    Inside,
    Moment,
    Score,
    Token,
    Unchecked,
    at_most,
    matching,
    within,
)
from raytl.stored.fault import Fault
from raytl.stored.schema import reader


@dataclass(frozen=True, slots=True)
class Leaf:
    size: Annotated[int, within(0, 10)]
    name: str = "x"


@dataclass(frozen=True)
class Skip:
    reason: str


@dataclass(frozen=True)
class Train:
    trials: int


@dataclass(frozen=True)
class Tree:
    leaves: Mapping[str, Leaf]
    row: tuple[int, float] = (0, 0.0)
    chosen: Skip | Train | None = None
    scores: dict[str, Score] = field(default_factory=dict)


def read(kind: Any, value: Any) -> Any:
    return reader(kind)(value, [])


def test_objects_become_dataclasses_and_lists_tuples() -> None:
    plain = {
        "leaves": {"a": {"size": 3}},
        "row": [1, 2],
        "chosen": {"kind": "train", "trials": 4},
        "scores": {"accuracy": 0.5},
    }
    assert read(Tree, plain) == Tree({"a": Leaf(3)}, (1, 2.0), Train(4), {"accuracy": 0.5})
    assert read(Tree, {"leaves": {}, "chosen": None}) == Tree({})


def test_unknown_keys_are_ignored_and_reported_with_their_paths() -> None:
    foreign: list[tuple[str | int, ...]] = []
    trees = reader(list[Tree])([{"leaves": {"a": {"size": 1, "colour": 2}}, "new": {"a": 1}}], foreign)
    assert trees == [Tree({"a": Leaf(1)})]
    assert sorted(foreign) == [(0, "leaves", "a", "colour"), (0, "new")]


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        (Tree, {"leaves": {"a": {"size": 11}}}, "leaves.a.size: found 11; expected a number from 0 to 10"),
        (Tree, {"leaves": {"a": {}}}, "leaves.a.size: missing; expected a value"),
        (Tree, {}, "leaves: missing; expected a value"),
        (Tree, [], "found a list of 0; expected an object with the keys leaves, row, chosen, scores"),
        (Tree, {"leaves": {}, "row": [1]}, "row: found a list of 1; expected a list of 2"),
        (Tree, {"leaves": {}, "row": [1, "2"]}, "row.1: found the text '2'; expected a number"),
        (Tree, {"leaves": {}, "chosen": {"kind": "run"}}, "chosen.kind: found the text 'run'; expected skip or train"),
        (Tree, {"leaves": {}, "chosen": {"kind": ["x"]}}, "chosen.kind: found a list of 1; expected skip or train"),
        (Tree, {"leaves": {}, "chosen": {"kind": "skip"}}, "chosen.reason: missing; expected a value"),
        (Tree, {"leaves": {}, "chosen": 1}, "chosen: found 1; expected an object with the key kind"),
        (int, True, "found true; expected an integer"),
        (int, 1.0, "found 1.0; expected an integer"),
        (int, 2**64, "found 18446744073709551616; expected an integer of 64 bits"),
        (float, math.nan, "found nan; expected a finite number"),
        (float, math.inf, "found inf; expected a finite number"),
        (float, "1", "found the text '1'; expected a number"),
        (bool, 1, "found 1; expected true or false"),
        (str, None, "found null; expected text"),
        (str, "x" * 65537, "found a text of 65537 characters; expected 65536 characters at most"),
        (str, "a\ud800", "found the text 'a\\ud800'; expected text without half of a surrogate pair"),
        (
            dict[str, Any],
            {"\udfff": 1},
            "'\\udfff': found the text '\\udfff'; expected text without half of a surrogate pair",
        ),
        (Annotated[str, at_most(3)], "four", "found the text 'four'; expected 3 characters at most"),
        (Annotated[str, matching("[ab]+", "a and b")], "abc", "found the text 'abc'; expected a and b"),
        (int | None, "x", "found the text 'x'; expected an integer"),
        (int | str, None, "found null; expected an integer or text"),
        (Literal["a", 1], True, "found true; expected 'a' or 1"),
        (list[int], {"a": 1}, "found an object of 1 keys; expected a list"),
        (dict[str, int], [], "found a list of 0; expected an object"),
        (Any, {"a": [2**70]}, "a.0: found 1180591620717411303424; expected an integer of 64 bits"),
        (Any, {"a": math.nan}, "a: found nan; expected a finite number"),
        (Digest, "12", "found the text '12'; expected 64 hexadecimal digits"),
        (Classes, ["a", "a"], "found a list of 2; expected distinct classes"),
        (Classes, [], "found a list of 0; expected 1 class at least"),
        (Moment, "2026-01-01", "found the text '2026-01-01'; expected a date and time with its offset (ISO 8601)"),
        (FilePath, "a\0b", "found the text 'a\\x00b'; expected a path without NUL"),
        (Token, "../x", "found the text '../x'; expected letters, digits, '.', '_' and '-'"),
    ],
)
def test_a_fault_names_the_field_what_was_found_and_what_was_expected(kind: Any, value: Any, fault: str) -> None:
    with pytest.raises(Fault, match=r".") as raised:
        read(kind, value)
    assert str(raised.value) == fault


@pytest.mark.parametrize("value", [None, math.nan, 0.5, 1])
def test_a_score_may_be_undefined(value: float | None) -> None:
    score = read(Score, value)
    assert score == value or (math.isnan(score) and value != 0.5)


def test_a_value_that_its_user_checks_is_read_as_it_is() -> None:
    value = {"a": ["x" * 100_000, 2**99]}
    assert read(Annotated[Any, Unchecked], value) is value
    with pytest.raises(Fault, match="found a text of 100000 characters"):
        read(Any, value)


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\0"])
def test_a_file_of_a_manifest_is_inside_its_folder(name: str) -> None:
    assert read(Inside, "checkpoints/best/model.json") == "checkpoints/best/model.json"
    with pytest.raises(Fault, match="expected a relative path inside the folder"):
        read(Inside, name)


def test_file_names_that_are_not_utf8_are_kept() -> None:
    assert read(dict[str, Any], {"\udcff.jpg": "\udcff"}) == {"\udcff.jpg": "\udcff"}


def test_an_unsupported_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="is not supported in a stored format"):
        reader(set[int])


@dataclass(frozen=True)
class Renamed:
    width: Annotated[int, within(0, 10), FormerKey("breadth")]
    rest: int = 0


@pytest.mark.parametrize(
    ("plain", "value", "unknown"),
    [
        ({"width": 3}, 3, []),
        ({"breadth": 3, "rest": 0}, 3, []),
        ({"width": 3, "breadth": 4}, 3, [("breadth",)]),
    ],
)
def test_a_field_is_read_under_its_former_key_unless_its_own_is_there(
    plain: dict[str, int], value: int, unknown: list[tuple[str]]
) -> None:
    foreign: list[tuple[str | int, ...]] = []
    assert reader(Renamed)(plain, foreign) == Renamed(value)
    assert foreign == unknown


def test_a_value_under_a_former_key_is_within_the_same_bounds() -> None:
    with pytest.raises(Fault, match="width: found 11; expected a number from 0 to 10"):
        read(Renamed, {"breadth": 11})
