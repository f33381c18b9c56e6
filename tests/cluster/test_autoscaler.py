"""GPUs requested from Ray's autoscaler; the cluster is a fake."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from raytl.cluster import autoscaler
from raytl.errors import Unavailable


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The requests sent to a cluster whose second machine joins at the third poll."""
    polls = iter([[(4.0, 0.0)], [(4.0, 0.0)], [(4.0, 0.0), (8.0, 4.0)]])
    sent: list[Any] = []
    monkeypatch.setattr(autoscaler, "session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(autoscaler, "nodes", lambda: next(polls))
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda **arguments: sent.append(arguments))
    return sent


def test_gpus_are_requested_and_waited_for(requests: list[Any]) -> None:
    reports: list[str] = []
    assert autoscaler.request_gpus(4, 60.0, reports.append, poll_s=0.0) == 4
    assert (requests, reports) == ([{"bundles": [{"GPU": 1}] * 4}], ["0 of 4 GPUs available"])


def test_gpus_that_do_not_arrive_are_an_error(requests: list[Any]) -> None:
    with pytest.raises(Unavailable, match="0 of 4 GPUs available after 0 s"):
        autoscaler.request_gpus(4, 0.0, print)


def test_a_request_for_zero_gpus_releases_machines(requests: list[Any]) -> None:
    assert autoscaler.request_gpus(0, 0.0, print) == 0
    assert requests == [{"bundles": []}]
