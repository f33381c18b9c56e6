"""A worker's status records its activity, and a worker that is cut off stops writing."""

from __future__ import annotations

import threading
import time

from raytl.worker_status import WorkerStatus
from raytl.world import World


def test_each_request_for_an_item_is_progress_in_the_tracked_activity() -> None:
    status = WorkerStatus(activity="all_reduce", in_collective=True, progressed_at=0.0)
    batches = status.track([1, 2], "scoring batches")
    assert next(batches) == 1
    assert (status.activity, status.in_collective) == ("scoring batches", False)
    assert status.progressed_at > 0
    assert list(batches) == [2]


def test_the_status_of_a_worker_is_no_part_of_its_identity() -> None:
    first, second = World(0, 2, 0), World(0, 2, 0)
    first.status.begin("forward")
    assert first == second
    assert hash(first) == hash(second)
    assert second.status.activity == "starting"


def test_without_a_driver_nothing_is_waited_for() -> None:
    status = WorkerStatus()
    status.wait_for_driver()
    assert not status.pause_requested


def test_a_worker_that_is_cut_off_writes_nothing_until_the_driver_answers_again() -> None:
    status = WorkerStatus(last_contact=time.monotonic() - 60)
    wrote = threading.Event()

    def write() -> None:
        status.wait_for_driver()
        wrote.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert not wrote.wait(0.5), "another worker may have replaced it"
    status.last_contact = time.monotonic()
    assert wrote.wait(5)
    writer.join()
