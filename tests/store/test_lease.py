"""A lease allows one writer at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from raytl.errors import RunError, Unavailable
from raytl.events import Message, Recorder
from raytl.store import lease as lease_module
from raytl.store.contract import ObjectStore
from raytl.store.holder import Holder, Process
from raytl.store.lease import KEY, MARGIN, TERM_S, Lease, Node, held, own_clock, take
from raytl.store.memory import MemoryStore
from tests.conftest import S3, SWIFT
from tests.store.conftest import LAX, STERN

real_sleep = time.sleep
OF_0_1_0 = {"generation": 7, "token": "old", "host": "far", "pid": 5, "boot": "another machine"}
with_conditional_puts = pytest.mark.parametrize("store", ["local", "memory", S3], indirect=True)
without_conditional_puts = pytest.mark.parametrize("store", [LAX, STERN, SWIFT], indirect=True)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which takes place."""
    pauses: list[float] = []
    monkeypatch.setattr("raytl.store.lease.time.sleep", pauses.append)
    return pauses


class Clock:
    """The clock of a machine, set by hand; a wait advances it and calls `meanwhile`."""

    def __init__(self) -> None:
        self.now, self.waits = 1_000_000.0, 0
        self.meanwhile: Callable[[], object] = lambda: None

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.waits += 1
        self.meanwhile()


def node(name: str, clock: Clock, pid: int = 1) -> Node:
    """Return a separate machine, on which every process of its boot is alive."""
    me = Process(name, pid, f"boot of {name}", 0)
    return Node(
        clock=lambda: clock.now,
        pause=clock.wait,
        date=lambda: "2026-11-28T13:57:00+00:00",
        process=lambda: me,
        is_alive=lambda other: True if other.boot == me.boot else None,
    )


def put(store: ObjectStore, holder: Holder) -> None:
    store.put_bytes(KEY, holder.encoded())


def wall_clock(monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    """Set the clock of this machine, as `date --set` does."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s)


def test_a_second_take_is_rejected_with_the_holder_until_the_release(store: ObjectStore) -> None:
    first = take(store)
    with pytest.raises(RunError, match=rf"another raytl \(pid {first.holder.pid} on .*\) is writing there"):
        take(store)
    first.release()
    assert take(store).holder.generation == first.holder.generation + 1


def test_a_live_process_of_this_machine_is_an_error_at_once_that_says_its_last_renewal_in_utc(
    store: ObjectStore, slept: list[float]
) -> None:
    take(store)
    slept.clear()  # without conditional puts, `take` pauses
    with pytest.raises(RunError, match=r"it last renewed its lease on 20\d\d-\d\d-\d\d at \d\d:\d\d:\d\d UTC\.\n"):
        take(store)
    assert slept == []


def test_of_many_concurrent_takes_one_succeeds(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.lease.time.sleep", real_sleep)

    def try_take(_: int) -> Lease | None:
        try:
            return take(store)
        except RunError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert len([lease for lease in pool.map(try_take, range(8)) if lease]) == 1


def test_the_lease_of_a_process_that_died_here_is_free_at_once(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, pid=2**22 + 1))  # above the largest pid
    assert take(store).holder.generation == 2


def test_another_process_with_the_pid_of_a_dead_holder_is_not_taken_for_it(store: ObjectStore) -> None:
    mine = take(store).holder
    put(store, replace(mine, pid=os.getppid(), started=mine.started + 1))
    assert take(store).holder.generation == 2


def test_a_lease_that_this_process_could_not_release_is_free_for_it(store: ObjectStore) -> None:
    """For example, the bucket is unreachable when `retrain --watch` ends a tick."""
    lease = take(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "_replace", _unavailable)
        lease.release()
    assert take(store).holder.generation == 2


@with_conditional_puts
def test_the_lease_of_another_machine_is_taken_after_a_term_without_a_renewal(store: ObjectStore) -> None:
    take(store, node=node("far", Clock()))
    here, watcher = Clock(), Recorder()
    began = here.now
    assert take(store, watcher, node=node("here", here)).holder.generation == 2
    assert TERM_S <= here.now - began < TERM_S * 1.1
    [event] = watcher.events
    assert isinstance(event, Message)
    assert "(pid 1 on far) holds the lease; waiting up to 60 s to see whether it still writes there" in event.text


@with_conditional_puts
def test_a_holder_on_another_machine_that_renews_is_an_error_within_a_quarter_of_a_term(store: ObjectStore) -> None:
    there, here = Clock(), Clock()
    first = take(store, node=node("far", there))
    here.meanwhile = lambda: first.renew() if here.waits % 4 == 0 else None
    with pytest.raises(
        RunError, match=r"\(pid 1 on far\) is writing there; it last renewed .*on 2026-11-28 at 13:57:00 UTC"
    ):
        take(store, node=node("here", here))
    assert here.now - 1_000_000.0 <= TERM_S / 4


@with_conditional_puts
def test_a_lease_that_is_released_while_it_is_watched_is_taken_at_once(store: ObjectStore) -> None:
    first, here = take(store, node=node("far", Clock())), Clock()
    here.meanwhile = first.release
    assert take(store, node=node("here", here)).holder.generation == 2
    assert here.waits == 1


@with_conditional_puts
def test_a_renewal_during_the_takeover_keeps_the_lease(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first, here = take(store, node=node("far", Clock())), Clock()
    before = lease_module._put

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(lease_module, "_put", before)
        first.renew()
        return before(*arguments)

    monkeypatch.setattr(lease_module, "_put", late)
    with pytest.raises(RunError, match="started to write there at the same moment"):
        take(store, node=node("here", here))
    first.check()


@with_conditional_puts
def test_a_wait_for_another_machine_can_be_interrupted(store: ObjectStore) -> None:
    take(store, node=node("far", Clock()))
    here = Clock()
    here.meanwhile = _interrupted
    with pytest.raises(KeyboardInterrupt):
        take(store, node=node("here", here))


@pytest.mark.parametrize("ahead_s", [70.0, 3600.0, 365 * 86400.0], ids=["70 s", "an hour", "a year"])
def test_a_process_whose_clock_is_ahead_takes_no_live_lease(monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
    store, here = MemoryStore(f"{ahead_s}"), Clock()
    first = take(store, node=node("far", Clock()))
    wall_clock(monkeypatch, ahead_s)
    here.meanwhile = first.renew
    with pytest.raises(RunError, match="is writing there"):
        take(store, node=node("here", here))
    first.check()


def test_stepping_the_clock_back_an_hour_does_not_extend_a_lease(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    lease = take(store, node=node("here", clock))
    wall_clock(monkeypatch, -3600)
    clock.now += TERM_S
    with pytest.raises(RunError, match="lost its lease"):
        lease.check()


@with_conditional_puts
def test_a_holder_whose_clock_is_a_year_ahead_blocks_no_successor(store: ObjectStore) -> None:
    far = node("far", Clock())
    take(store, node=replace(far, date=lambda: "2027-11-28T13:57:00+00:00"))
    assert take(store, node=node("here", Clock())).holder.generation == 2


@with_conditional_puts
@pytest.mark.parametrize("until", [1.0, 4e9], ids=["long over", "in a year"])
def test_a_lease_of_raytl_0_1_0_on_another_machine_is_watched_whatever_its_end_says(
    store: ObjectStore, until: float
) -> None:
    store.put_bytes(KEY, json.dumps({**OF_0_1_0, "until": until}).encode())
    here = Clock()
    assert take(store, node=node("here", here)).holder.generation == 8
    assert here.now - 1_000_000.0 >= TERM_S
    store.put_bytes(KEY, json.dumps({**OF_0_1_0, "until": until}).encode())
    here.meanwhile = lambda: store.put_bytes(KEY, json.dumps({**OF_0_1_0, "until": until + here.now}).encode())
    with pytest.raises(
        RunError, match=r"\(pid 5 on far\) is writing there; it last renewed its lease at an unknown time"
    ):
        take(store, node=node("here", here))


def test_a_lease_that_raytl_0_1_0_released_is_free(store: ObjectStore) -> None:
    store.put_bytes(KEY, json.dumps({**OF_0_1_0, "until": 0.0}).encode())
    assert take(store).holder.generation == 8


def test_a_holder_without_a_renewal_for_a_term_may_no_longer_write(store: ObjectStore) -> None:
    clock = Clock()
    lease = take(store, node=node("here", clock))
    trusted_s = TERM_S * (1 - MARGIN)
    clock.now += trusted_s - 3
    lease.check()
    lease.renew()
    clock.now += trusted_s - 1
    lease.check()
    clock.now += 1
    with pytest.raises(RunError, match="lost its lease"):
        lease.check()


def test_a_holder_counts_from_before_it_sent_its_renewal(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, kind = Clock(), type(store)
    lease = take(store, node=node("here", clock))
    real = kind.put_bytes

    def slow(self: ObjectStore, *arguments: Any) -> Any:
        clock.now += 10
        return real(self, *arguments)

    monkeypatch.setattr(kind, "put_bytes", slow)
    lease.renew()
    clock.now += TERM_S * (1 - MARGIN) - 10
    with pytest.raises(RunError, match="lost its lease"):
        lease.check()


def test_the_clock_counts_the_suspension_of_the_machine() -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        pytest.skip("this system has no clock that counts a suspension")
    before, now, after = (
        time.clock_gettime(time.CLOCK_BOOTTIME),
        own_clock(),
        time.clock_gettime(time.CLOCK_BOOTTIME),
    )
    assert before <= now <= after


@with_conditional_puts
def test_a_lease_that_another_process_took_over_cannot_be_renewed_or_released(store: ObjectStore) -> None:
    old = take(store, node=node("far", Clock()))
    new = take(store, node=node("here", Clock()))
    with pytest.raises(RunError, match="lost its lease"):
        old.renew()
    old.release()
    new.check()
    with pytest.raises(RunError, match="is writing there"):
        take(store, node=node("here", Clock(), pid=2))


@with_conditional_puts
def test_an_unreadable_lease_is_watched_and_then_replaced(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"what?")
    here, watcher = Clock(), Recorder()
    assert take(store, watcher, floor=lambda: 4, node=node("here", here)).holder.generation == 5
    assert here.now - 1_000_000.0 >= TERM_S
    [event] = watcher.events
    assert isinstance(event, Message)
    assert "a process whose lease this version of raytl cannot read holds the lease" in event.text


def test_after_a_deleted_lease_the_generation_exceeds_those_that_wrote(store: ObjectStore) -> None:
    assert take(store, floor=lambda: 7).holder.generation == 8


def test_the_lease_is_released_after_an_error(store: ObjectStore) -> None:
    with pytest.raises(KeyboardInterrupt), held(store):
        raise KeyboardInterrupt
    with held(store) as again:
        assert again.holder.generation == 2


def test_a_renewal_whose_response_was_lost_is_recognized(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, heartbeat=lease.holder.heartbeat + 1))
    lease.renew()
    lease.check()


def test_a_renewal_detects_a_takeover(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, token="another's", generation=2))
    with pytest.raises(RunError, match="lost its lease"):
        lease.renew()
    with pytest.raises(RunError, match="lost its lease"):
        lease.check()
    assert json.loads(store.get_bytes(KEY))["token"] == "another's"


def test_every_renewal_raises_the_heartbeat_and_no_time_in_the_object_is_needed(store: ObjectStore) -> None:
    lease = take(store)
    lease.renew()
    lease.renew()
    stored = json.loads(store.get_bytes(KEY))
    assert stored["heartbeat"] == 2
    assert datetime.fromisoformat(stored["renewed"]).utcoffset() == timedelta(0)
    assert set(stored) == {
        "generation", "token", "host", "pid", "boot", "started", "heartbeat", "renewed", "given_back",
    }  # fmt: skip


def _unavailable(_: Holder) -> None:
    raise Unavailable("no answer")


def _interrupted() -> None:
    raise KeyboardInterrupt


@with_conditional_puts
def test_a_store_with_conditional_puts_is_taken_without_a_warning(store: ObjectStore, slept: list[float]) -> None:
    watcher = Recorder()
    with held(store, watcher) as lease:
        assert lease.is_guarded
    assert (watcher.events, slept) == ([], [])


@without_conditional_puts
def test_a_store_without_conditional_puts_is_warned_about_in_one_line(store: ObjectStore) -> None:
    watcher = Recorder()
    with held(store, watcher) as lease:
        assert not lease.is_guarded
    [event] = watcher.events
    assert isinstance(event, Message)
    assert event.level == "warning"
    assert f"{store.uri}: this store does not support conditional puts" in event.text
    assert "\n" not in event.text


@without_conditional_puts
def test_without_conditional_puts_the_last_put_has_the_lease(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(_: float) -> None:
        put(store, Holder(1, "another's", "far", 1, "another machine", 0, 0, ""))

    monkeypatch.setattr("raytl.store.lease.time.sleep", another)
    with pytest.raises(RunError, match="started to write there at the same moment"):
        take(store)


@without_conditional_puts
def test_without_conditional_puts_a_slow_process_waits_for_a_renewal_of_the_other(
    store: ObjectStore, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "MAX_PUT_DELAY_S", 1e9)
    take(store).release()
    monkeypatch.setattr(lease_module, "MAX_PUT_DELAY_S", 0.0)
    take(store)
    assert [delay for delay in slept if delay > 1] == [1e9, TERM_S / 4]  # shorter ones are retries of a loaded store
