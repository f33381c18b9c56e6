"""Compare scores by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def assert_same(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """The same names, and values that differ by rounding only."""
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=1e-12, err_msg=name)
