"""Sweeps for tests whose subject is neither a solved head nor a chart: both take most of the time of a tiny sweep."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.models import solved_head
from raytl.search.report import page
from tests.conftest import leave_out_pixels

_ITERATIONS = 40
"""Enough to separate a few images; a head is solved in 500 at most, on noise it needs them all."""


def make_cheap(patch: pytest.MonkeyPatch) -> None:
    """Solve heads roughly, draw one chart in the page of a sweep, and none as a picture."""
    leave_out_pixels(patch)
    charts: Any = page._charts
    patch.setattr(solved_head, "_ITERATIONS", _ITERATIONS)
    patch.setattr(page, "_charts", lambda *given: charts(*given)[:1])
