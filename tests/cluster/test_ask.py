"""Machines asked of Ray's autoscaler; here the cluster is made up."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from raytl.cluster import ask
from raytl.errors import Unavailable


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked for, of a cluster whose second machine comes at the third look."""
    looks = iter([[(4.0, 0.0)], [(4.0, 0.0)], [(4.0, 0.0), (8.0, 4.0)]])
    requests: list[Any] = []
    monkeypatch.setattr(ask, "session", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(ask, "nodes", lambda: next(looks))
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda **given: requests.append(given))
    return requests


def test_gpus_are_asked_for_and_waited_for(asked: list[Any]) -> None:
    said: list[str] = []
    assert ask.ask(4, 60.0, said.append, poll_s=0.0) == 4
    assert (asked, said) == ([{"bundles": [{"GPU": 1}] * 4}], ["0 of 4 GPUs are there"])


def test_gpus_that_do_not_come_are_an_error(asked: list[Any]) -> None:
    with pytest.raises(Unavailable, match="0 of 4 GPUs are there after 0 s"):
        ask.ask(4, 0.0, print)


def test_none_are_asked_for_to_let_machines_go(asked: list[Any]) -> None:
    assert ask.ask(0, 0.0, print) == 0
    assert asked == [{"bundles": []}]
