"""Strict JSON: what Python holds and JSON has not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raytl.run.plain import encode, plain


def test_numbers_that_json_has_not_become_null() -> None:
    assert plain({"a": float("nan"), "b": [float("inf"), 1.5]}) == {"a": None, "b": [None, 1.5]}


def test_numpy_values_become_plain_numbers_and_lists() -> None:
    assert plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.arange(2)}) == {"a": 0.5, "b": 3, "c": [0, 1]}


def test_paths_and_tuples_become_text_and_lists() -> None:
    assert plain({"p": Path("a/b"), "t": (1, 2)}) == {"p": "a/b", "t": [1, 2]}


def test_a_value_without_a_place_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object cannot be encoded as JSON"):
        encode({"a": object()})


@pytest.mark.parametrize(
    "name", ["a b.jpg", "größe.png", "line\nbreak.jpg", 'quo"te', b"caf\xe9.jpg".decode("utf-8", "surrogateescape")]
)
def test_any_file_name_survives_and_stays_on_one_line(name: str) -> None:
    encoded = encode({"path": name})
    assert b"\n" not in encoded
    assert json.loads(encoded.decode("utf-8")) == {"path": name}
