from __future__ import annotations

import sys

import pytest

from raytl.api.table import table

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_rows_become_a_data_frame() -> None:
    frame = table(ROWS)
    assert list(frame.columns) == ["a", "b"]
    assert list(frame["a"]) == [1, 2]


def test_without_pandas_rows_stay_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert table(ROWS) == ROWS
