"""The coordinator's process may die: its workers would wait for its answers forever."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import ray

from raytl.cluster import coordinator, watch
from raytl.cluster.coordinator import Coordinator, CoordinatorLost
from raytl.cluster.placement import Placement
from raytl.config.schema import ComputeConfig
from raytl.events import Event, Message

KILLED = ray.exceptions.OutOfMemoryError(
    "1 worker(s) were killed due to the node running low on memory.\nTop 10 users: ..."
)


@dataclass
class Actor:
    """An actor whose calls return `answer`, or raise it where `ray.get` waits for them."""

    answer: Any = None

    def __getattr__(self, method: str) -> Any:
        return self

    def remote(self, *_: object) -> Any:
        return self.answer


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(call: Any) -> Any:
        if isinstance(call, Exception):
            raise call
        return call

    monkeypatch.setattr(ray, "get", get)


@pytest.mark.parametrize("dead", [KILLED, ray.exceptions.ActorDiedError()])
def test_an_attempt_after_the_death_of_the_coordinator_begins_with_a_new_one(
    dead: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Actor()
    monkeypatch.setattr(coordinator, "start_coordinator", lambda: other)
    channel = Coordinator(Actor(dead))
    channel.begin(1)
    assert channel.actor is other


def test_the_workers_of_a_dead_coordinator_are_stopped_and_their_attempt_names_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "_POLL_S", 0.001)
    workers: Any = FakeWorkers()
    with watch.watching(Coordinator(Actor(KILLED)), workers, ComputeConfig(workers=2)) as observed:
        assert workers.stopped.wait(10)
    assert observed.request is not None
    assert (observed.request.action, observed.request.cause) == ("exit", "failure")
    assert "the process that collects heartbeats was lost: 1 worker(s) were killed" in observed.request.reason


def test_a_coordinator_that_is_slow_to_answer_is_not_lost() -> None:
    with pytest.raises(ray.exceptions.GetTimeoutError, match="later"):
        Coordinator(Actor(ray.exceptions.GetTimeoutError("later"))).heartbeats()
    with pytest.raises(CoordinatorLost, match="low on memory"):
        Coordinator(Actor(KILLED)).heartbeats()


def test_events_after_one_whose_callback_failed_still_arrive(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(coordinator, "_POLL_S", 0.001)
    monkeypatch.setattr(ray, "kill", lambda _: None)  # it would start a Ray
    received: list[Event] = []

    def fail_on_the_first(event: Event) -> None:
        if event == Message("first"):
            raise BrokenPipeError("the terminal was closed")
        received.append(event)

    actor = Actor(([Message("first"), Message("last")], True))
    with coordinator.coordinator(fail_on_the_first, actor) as channel:
        assert channel.ended.wait(10)
    assert received[0] == Message("last")
    assert [record.message for record in caplog.records] == ["an event callback failed: the terminal was closed"]


class FakeWorkers:
    """Record that the workers were stopped."""

    placement = Placement(2, {"CPU": 1})

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()
