"""What the driver asks of its workers when machines leave, come, or nothing moves."""

from __future__ import annotations

from raytl.cluster.heartbeat import Ask, Heartbeat
from raytl.cluster.machines import Machine
from raytl.cluster.watch import wanted

STAYS, LEAVES = Machine("a", (1, 0), (0, 0)), Machine("b", (1, 0), (0, 0), leaves=True)
BEATS = [Heartbeat(0, "10.0.0.1", "a", 1, "x", False, 0.0), Heartbeat(1, "10.0.0.2", "b", 2, "x", False, 0.0)]


def test_nothing_is_asked_while_all_is_well() -> None:
    assert wanted([STAYS, LEAVES], BEATS[:1], 1, 0, None) is None


def test_a_machine_that_leaves_comes_before_room_for_more() -> None:
    asked = wanted([STAYS, LEAVES], BEATS, 2, 3, None)
    assert asked == Ask("pause", "10.0.0.2 is taken away", "preemption")


def test_a_thing_is_asked_once_but_for_the_end_of_workers_that_do_not_pause() -> None:
    pause, end = Ask("pause", "room"), Ask("end", "hangs")
    assert pause.goes_beyond(None)
    assert not pause.goes_beyond(pause)
    assert end.goes_beyond(pause)
    assert not end.goes_beyond(end)


def test_workers_that_hang_are_ended_and_room_is_used_with_a_checkpoint() -> None:
    assert wanted([STAYS], BEATS, 2, 3, "hangs") == Ask("end", "hangs", "failure")
    assert wanted([STAYS], BEATS, 2, 3, None) == Ask("pause", "there is room for 5 workers", "resize")
