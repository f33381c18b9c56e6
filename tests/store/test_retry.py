"""Only transient errors are retried."""

from __future__ import annotations

import pytest

from raytl.errors import Denied, StoreError, Unavailable
from raytl.store.retry import retried


def failing(times: int, kind: type[StoreError]) -> tuple[list[int], object]:
    calls: list[int] = []

    def action() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise kind("no")
        return "done"

    return calls, action


def test_unavailable_is_retried_with_growing_pauses() -> None:
    pauses: list[float] = []
    calls, action = failing(3, Unavailable)
    assert retried(action, 4, pauses.append) == "done"  # type: ignore[arg-type]
    assert len(calls) == 4
    assert [0.5 * 2**i <= pause <= 2**i for i, pause in enumerate(pauses)] == [True] * 3


def test_the_last_failure_is_raised() -> None:
    calls, action = failing(9, Unavailable)
    with pytest.raises(Unavailable, match="no"):
        retried(action, 3, lambda _: None)  # type: ignore[arg-type]
    assert len(calls) == 3


def test_no_other_error_is_retried() -> None:
    calls, action = failing(9, Denied)
    with pytest.raises(Denied, match="no"):
        retried(action)  # type: ignore[arg-type]
    assert len(calls) == 1
