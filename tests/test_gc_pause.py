"""The search for cycles is put off, and only for as long."""

from __future__ import annotations

import gc

import pytest

from raytl.gc_pause import gc_paused


@gc_paused()
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
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
