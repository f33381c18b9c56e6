"""Columns hold the values that were put in, in a few arrays."""

from __future__ import annotations

import numpy as np
import pytest

from raytl.data.texts import Coded, Texts, TextWriter

ODD = ["", "a", "é\n'\"", "\udcff.jpg", "x" * 5000, "\0", "日本"]


def test_texts_are_the_strings_that_were_put_in() -> None:
    texts = Texts.of(ODD)
    assert list(texts) == ODD
    assert [texts[i] for i in range(len(texts))] == ODD
    assert list(texts.take(np.array([6, 3, 3, 0]))) == ["日本", "\udcff.jpg", "\udcff.jpg", ""]
    assert len(Texts.of([])) == 0


def test_a_place_is_counted_from_the_end_or_is_an_error_as_in_a_list() -> None:
    texts = Texts.of(["a", "b", "cd"])
    assert [texts[-1], texts[-3]] == ["cd", "a"]
    for place in (3, -4):
        with pytest.raises(IndexError, match="out of range"):
            texts[place]


def test_more_strings_than_are_read_at_once_are_read_in_order() -> None:
    strings = [str(i) * (i % 7) for i in range(40_000)]
    texts, places = Texts.of(strings), np.random.default_rng(0).permutation(40_000)
    assert list(texts) == strings
    assert list(texts.take(places)) == [strings[i] for i in places]


@pytest.mark.parametrize("odd", ["a", "é", "\udcff"])
def test_strings_can_be_read_while_others_are_added(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.data.texts._AT_ONCE", 3)
    written, strings = TextWriter(), ["", "b", odd, "c", odd * 2, "", "d"]
    for count, string in enumerate(strings, start=1):
        written.add(string)
        assert [written[i] for i in range(count)] == strings[:count]
    assert list(written.column()) == strings


def test_equal_values_have_one_code_and_values_of_other_types_their_own() -> None:
    column = Coded.of(["b", None, "b", "a", 1, True])
    assert column.codes.dtype == np.uint8
    assert list(column) == ["b", None, "b", "a", 1, True]
    assert column.counts() == [("b", 2), (None, 1), ("a", 1), (1, 1), (True, 1)]
    assert len(column.values) == 5


def test_a_function_is_called_once_for_each_value_that_occurs() -> None:
    column = Coded.of(["a", "b", "a", "c"]).take(np.array([0, 2, 3]))
    assert column.mapped({"a": 5, "c": 7}.__getitem__, np.int64).tolist() == [5, 5, 7]
    with pytest.raises(KeyError, match="c"):
        column.mapped({"a": 5}.__getitem__, np.int64)
