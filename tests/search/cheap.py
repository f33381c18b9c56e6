"""Sweeps for tests whose subject is no chart: charts take most of the time of a tiny sweep."""

from __future__ import annotations

from typing import Any

import pytest

from raytl.search.report import page
from tests.conftest import leave_out_pixels


def make_cheap(patch: pytest.MonkeyPatch) -> None:
    """Draw one chart in the page of a sweep, and none as a picture."""
    leave_out_pixels(patch)
    charts: Any = page._charts
    patch.setattr(page, "_charts", lambda *given: charts(*given)[:1])
