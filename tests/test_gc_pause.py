"""The search for cycles is put off, and only for as long."""

from __future__ import annotations

import gc

import pytest

from raytl.gc_pause import gc_paused, importing


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


@importing()
def fail_to_import() -> None:
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 10_000
    raise ImportError("no torch")


def test_the_collector_runs_less_often_during_imports_and_as_before_afterwards() -> None:
    before = gc.get_threshold()
    with pytest.raises(ImportError, match="no torch"):
        fail_to_import()
    assert gc.get_threshold() == before
