"""`raytl stop`, without a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.cli import jobs
from raytl.jobs.client import JobState
from tests.cli.conftest import Raytl

RUNNING = JobState("crops-1", "RUNNING", "", "raytl train", {}, 0.0, None, None)


class Cluster:
    """A cluster whose job ends when `stop` was called so many times as `ends_after`."""

    def __init__(self, ends_after: int) -> None:
        self._calls_left = ends_after

    def state(self, job: str) -> JobState:
        return RUNNING if self._calls_left else replace(RUNNING, status="STOPPED")

    def stop(self, job: str) -> None:
        self._calls_left -= 1


@pytest.mark.parametrize(
    ("ends_after", "code", "line"), [(0, 0, "stopped"), (1, 0, "stopped"), (2, 1, "still running")]
)
def test_a_job_that_does_not_stop_is_an_error(
    raytl: Raytl, monkeypatch: pytest.MonkeyPatch, ends_after: int, code: int, line: str
) -> None:
    monkeypatch.setattr(jobs, "connect", lambda _: Cluster(ends_after))
    monkeypatch.setattr(jobs, "_STOP_TIMEOUT_S", 0.0)
    done = raytl("stop", "crops-1")
    assert done.code == code
    assert line in done.out + done.err
