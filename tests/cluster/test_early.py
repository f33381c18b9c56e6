"""Workers that start before the plan is made: who gets them, and when they are stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from raytl.cluster import early
from raytl.cluster.early import Early, adopt, started_early
from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.events import Recorder
from tests.cluster.group_work import process_id

CPU = ComputeConfig(workers=2, device="cpu")


@dataclass
class FakeWorkers:
    """Count how often the workers are stopped."""

    stops: list[str] = field(default_factory=list)

    def stop(self) -> None:
        self.stops.append("stopped")


@pytest.fixture
def waiting() -> Any:
    """Early workers that wait for a run on two workers."""
    given = Early(CPU, coordinator="an actor", workers=FakeWorkers())  # type: ignore[arg-type]
    token = early._EARLY.set(given)
    yield given
    early._EARLY.reset(token)


def test_a_run_on_the_same_resources_gets_the_workers_once(waiting: Early) -> None:
    assert adopt(CPU) is waiting
    assert adopt(CPU) is None


def test_a_run_on_other_resources_does_not_get_them(waiting: Early) -> None:
    assert adopt(ComputeConfig(workers=1, device="cpu")) is None


def test_only_workers_that_no_run_has_taken_are_stopped(waiting: Early) -> None:
    workers: Any = waiting.take_workers()
    waiting.stop()
    assert workers.stops == []
    unclaimed = FakeWorkers()
    other = Early(CPU, "an actor", unclaimed)  # type: ignore[arg-type]
    other.stop()
    other.stop()
    assert unclaimed.stops == ["stopped"]
    assert other.take_workers() is None


def test_without_a_cluster_nothing_starts() -> None:
    with started_early(ComputeConfig(cluster="none")):
        assert adopt(ComputeConfig(cluster="none")) is None


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_adopts_the_processes_that_started_early(tmp_path: Path) -> None:
    import ray

    compute = ComputeConfig(cluster="embedded", device="cpu")
    with started_early(compute, "no.such.module", "json"):
        started = early._EARLY.get()
        assert started is not None
        assert started.workers is not None
        early_pid = ray.get(started.workers.actors[0].get_metadata.remote()).pid
        assert run_group(process_id, None, compute, scratch=tmp_path, on_event=Recorder()) == early_pid
        assert run_group(process_id, None, compute, scratch=tmp_path, on_event=Recorder()) != early_pid
    assert not ray.is_initialized()
