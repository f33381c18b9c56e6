"""The search for cycles is put off, and only for as long."""

from __future__ import annotations

import gc

import pytest

from raytl.data.collector import collector_off


@collector_off()
def fail() -> None:
    assert not gc.isenabled()
    raise KeyError("x")


def test_the_search_for_cycles_is_on_again_afterwards_also_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError, match="x"):
        fail()
    assert gc.isenabled()


def test_one_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
