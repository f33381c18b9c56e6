from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
import ray.train
import torch
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from raytl.cluster import worker_group
from raytl.cluster.retry import EndedAttempt, Retry, decide
from raytl.cluster.session import session
from raytl.cluster.watch import Watch
from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, NonFiniteLoss, RaytlError, WorkerFailed, WorkersLost
from raytl.events import Message, OnEvent, Recorder, Restarted, ignore
from raytl.world import World
from tests.cluster.group_work import Orders, add_ranks, hang_on_rank_1


@pytest.mark.parametrize("cluster", ["none", "local"])
def test_the_work_of_one_worker_on_this_machine_runs_in_this_process(cluster: str, tmp_path: Path) -> None:
    recorder = Recorder()
    compute = ComputeConfig(cluster=cluster)
    assert run_group(add_ranks, Orders(), compute, scratch=tmp_path / "s", on_event=recorder) == (0, 1, 1.0)
    assert recorder.events == [Message("rank 0 of 1")]


@pytest.mark.parametrize(("set_outside", "threads"), [(None, 2), ("3", 3)])
def test_torch_takes_the_cpus_of_the_worker_unless_the_environment_says_otherwise(
    set_outside: str | None, threads: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("raytl.cluster.worker_group.usable_cpus", lambda: 3)
    if set_outside:
        monkeypatch.setenv("OMP_NUM_THREADS", set_outside)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run = partial(run_group, _threads, None, scratch=tmp_path, on_event=ignore)
        assert run(ComputeConfig(cpus_per_worker=2.5)) == threads
        assert run(ComputeConfig()) == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def _threads(world: World, payload: None, emit: OnEvent) -> int:
    return torch.get_num_threads()


def test_one_worker_with_more_cpus_than_the_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1 worker\(s\) of 4096 CPUs each, but the cluster has 1 machine"):
        run_group(add_ranks, Orders(), ComputeConfig(cpus_per_worker=4096), scratch=tmp_path, on_event=ignore)


KILLED = ray.exceptions.OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")


@pytest.mark.parametrize(
    "error",
    [
        KILLED,
        ray.train.ControllerError(KILLED),
        ray.train.WorkerGroupError("", {0: WorkerHealthCheckFailedError("A worker health check failed.", KILLED)}),
    ],
    ids=["of a call", "at the start", "of a poll"],
)
def test_a_worker_that_ray_ends_for_memory_is_a_failure_that_may_be_retried(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trainer:
        def fit(self) -> None:
            raise error

    monkeypatch.setattr(Watch, "lost_hosts", lambda _: [])
    outcome = worker_group._outcome(Trainer(), Watch())
    assert outcome == EndedAttempt("failure", str(KILLED), 0, (KILLED,))
    assert isinstance(outcome, EndedAttempt)
    assert isinstance(decide([outcome], ComputeConfig()), Retry)


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """An embedded Ray that the tests of this file share: starting one takes seconds."""
    with session("local"):
        yield


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_two_workers_form_one_group_and_a_killed_one_is_replaced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    orders = Orders(die_once=str(tmp_path / "died"))
    compute = ComputeConfig(workers=2, device="cpu")
    assert run_group(add_ranks, orders, compute, scratch=tmp_path / "s", on_event=recorder) == (0, 2, 3.0)
    restarts = [event for event in recorder.events if isinstance(event, Restarted)]
    assert [event.attempt for event in restarts] == [1]
    messages = {event.text for event in recorder.events if isinstance(event, Message)}
    assert messages == {"starting 2 worker(s) on an embedded Ray", "rank 0 of 2", "rank 1 of 2"}
    assert not (tmp_path / "s").exists()
    assert capfd.readouterr().out == ""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize(
    ("fail", "error", "text"),
    [
        ("user", NonFiniteLoss, "^the loss became nan in epoch 1$"),
        ("bug", WorkerFailed, "A worker failed with ZeroDivisionError: a bug"),
    ],
)
def test_an_error_of_the_work_reaches_the_user_and_is_not_retried(
    tmp_path: Path, fail: str, error: type[RaytlError], text: str
) -> None:
    recorder = Recorder()
    with pytest.raises(error, match=text):
        run_group(
            add_ranks,
            Orders(fail=fail),
            ComputeConfig(cluster="embedded", device="cpu"),
            scratch=tmp_path,
            on_event=recorder,
        )
    assert not any(isinstance(event, Restarted) for event in recorder.events)


@pytest.mark.ray
@pytest.mark.usefixtures("one_ray")
def test_workers_that_do_not_fit_are_refused_with_the_arithmetic(tmp_path: Path) -> None:
    compute = ComputeConfig(workers=64, device="cpu", cpus_per_worker=4)
    with pytest.raises(ConfigError, match=r"64 worker\(s\) of 4 CPUs each, but the cluster has 1 machine"):
        run_group(add_ranks, Orders(), compute, scratch=tmp_path, on_event=Recorder())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.usefixtures("one_ray")
def test_hung_workers_are_ended_and_the_error_names_the_activity_of_each(tmp_path: Path) -> None:
    compute = ComputeConfig(workers=2, device="cpu", timeout_s=8, max_failures=0)
    with pytest.raises(
        WorkersLost,
        match=r"rank 1 \(host .*\) has been in reading the batch after epoch 1, step 1 \(.*group_work.py:\d+\) for \d+ s; "
        "rank 0 waits in all_reduce of the loss of epoch 1, step 2",
    ):
        run_group(hang_on_rank_1, None, compute, scratch=tmp_path / "s", on_event=ignore)
