"""The driver's requests when machines drain or join, or workers hang."""

from __future__ import annotations

from raytl.cluster.heartbeat import DriverRequest, Heartbeat
from raytl.cluster.machines import Machine
from raytl.cluster.watch import choose_request

HEALTHY, DRAINING = Machine("a", (1, 0), (0, 0)), Machine("b", (1, 0), (0, 0), draining=True)
HEARTBEATS = [Heartbeat(0, "10.0.0.1", "a", 1, "x", False, 0.0), Heartbeat(1, "10.0.0.2", "b", 2, "x", False, 0.0)]


def test_no_request_while_all_is_well() -> None:
    assert choose_request([HEALTHY, DRAINING], HEARTBEATS[:1], 1, 0, None) is None


def test_a_draining_machine_comes_before_a_resize() -> None:
    request = choose_request([HEALTHY, DRAINING], HEARTBEATS, 2, 3, None)
    assert request == DriverRequest("pause", "10.0.0.2 is being preempted", "preemption")


def test_a_request_is_sent_once_except_an_exit_after_a_pause() -> None:
    pause, leave = DriverRequest("pause", "room"), DriverRequest("exit", "hangs")
    assert pause.supersedes(None)
    assert not pause.supersedes(pause)
    assert leave.supersedes(pause)
    assert not leave.supersedes(leave)


def test_hung_workers_exit_and_a_resize_pauses_with_a_checkpoint() -> None:
    assert choose_request([HEALTHY], HEARTBEATS, 2, 3, "hangs") == DriverRequest("exit", "hangs", "failure")
    assert choose_request([HEALTHY], HEARTBEATS, 2, 3, None) == DriverRequest(
        "pause", "there is room for 5 workers", "resize"
    )
