from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raytl.cluster.session import session
from raytl.cluster.worker_group import run_group
from raytl.config.schema import ComputeConfig
from raytl.errors import ConfigError, NonFiniteLoss, RaytlError, WorkerFailed
from raytl.events import Message, Recorder, Restarted
from tests.cluster.group_work import Orders, add_ranks


def test_without_a_cluster_the_work_runs_in_this_process(tmp_path: Path) -> None:
    watcher = Recorder()
    compute = ComputeConfig(cluster="none")
    assert run_group(add_ranks, Orders(), compute, scratch=tmp_path / "s", on_event=watcher) == (0, 1, 1.0)
    assert watcher.events == [Message("rank 0 of 1")]


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
    watcher = Recorder()
    orders = Orders(die_once=str(tmp_path / "died"))
    compute = ComputeConfig(workers=2, device="cpu")
    assert run_group(add_ranks, orders, compute, scratch=tmp_path / "s", on_event=watcher) == (0, 2, 3.0)
    restarts = [event for event in watcher.events if isinstance(event, Restarted)]
    assert [event.attempt for event in restarts] == [1]
    said = {event.text for event in watcher.events if isinstance(event, Message)}
    assert said == {"starting 2 worker(s) on an embedded Ray", "rank 0 of 2", "rank 1 of 2"}
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
    watcher = Recorder()
    with pytest.raises(error, match=text):
        run_group(add_ranks, Orders(fail=fail), ComputeConfig(device="cpu"), scratch=tmp_path, on_event=watcher)
    assert not any(isinstance(event, Restarted) for event in watcher.events)


@pytest.mark.ray
@pytest.mark.usefixtures("one_ray")
def test_workers_that_do_not_fit_are_refused_with_the_arithmetic(tmp_path: Path) -> None:
    compute = ComputeConfig(workers=64, device="cpu", cpus_per_worker=4)
    with pytest.raises(ConfigError, match=r"64 worker\(s\) of 4 CPUs each, but the cluster has 1 machine"):
        run_group(add_ranks, Orders(), compute, scratch=tmp_path, on_event=Recorder())
