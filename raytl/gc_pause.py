"""Keep the cyclic garbage collector from visiting again and again what is no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_WHILE_IMPORTING = 50_000
"""New objects between two collections; 700 otherwise."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the collector in a block or a decorated function; for a million samples it would take a third of the time,
    as it visits each again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Collect less often while modules are imported. Nearly all that they create stays, and the collector takes a fifth of the
    time that torch and Ray need; without any collection, the first one later takes half of it."""
    before = gc.get_threshold()
    gc.set_threshold(_WHILE_IMPORTING, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
