"""One writer at a time."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from raytl.errors import RunError
from raytl.events import Message, Recorder
from raytl.store import lease as lease_module
from raytl.store.contract import ObjectStore
from raytl.store.lease import KEY, TERM_S, Holder, Lease, held, take
from tests.conftest import S3, SWIFT
from tests.store.conftest import LAX, STERN

real_sleep = time.sleep
where_conditions_hold = pytest.mark.parametrize("store", ["local", "memory", S3], indirect=True)
where_none_hold = pytest.mark.parametrize("store", [LAX, STERN, SWIFT], indirect=True)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept for, without doing so."""
    pauses: list[float] = []
    monkeypatch.setattr("raytl.store.lease.time.sleep", pauses.append)
    return pauses


class Clock:
    """A clock that is set by hand."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def put(store: ObjectStore, holder: Holder) -> None:
    store.put_bytes(KEY, json.dumps(asdict(holder)).encode())


def test_the_second_is_refused_with_who_has_it_until_it_is_given_back(store: ObjectStore) -> None:
    first = take(store)
    with pytest.raises(RunError, match=rf"another raytl \(pid {first.holder.pid} on .*\) writes there"):
        take(store)
    first.give_back()
    assert take(store).holder.generation == first.holder.generation + 1


def test_of_many_that_ask_at_once_one_has_it(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.store.lease.time.sleep", real_sleep)

    def ask(_: int) -> Lease | None:
        try:
            return take(store)
        except RunError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert len([lease for lease in pool.map(ask, range(8)) if lease]) == 1


def test_the_lease_of_a_process_that_died_here_is_free_at_once(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, pid=2**22 + 1))  # above the largest pid
    assert take(store).holder.generation == 2


def test_the_lease_of_another_machine_is_free_after_its_term(store: ObjectStore) -> None:
    clock = Clock()
    far = replace(take(store, clock).holder, boot="another machine", pid=2**22 + 1)
    put(store, far)
    clock.now += TERM_S - 1
    with pytest.raises(RunError, match="its right ends at"):
        take(store, clock)
    clock.now += 1
    assert take(store, clock).holder.generation == 2


def test_whoever_was_out_of_touch_for_a_term_may_write_no_more(store: ObjectStore) -> None:
    clock = Clock()
    lease = take(store, clock)
    clock.now += TERM_S - 1
    lease.check()
    lease.renew()
    clock.now += TERM_S - 1
    lease.check()
    clock.now += 1
    with pytest.raises(RunError, match="lost its right to write"):
        lease.check()


def test_a_lease_that_another_took_over_cannot_be_renewed_nor_given_back(store: ObjectStore) -> None:
    clock = Clock()
    old = take(store, clock)
    clock.now += TERM_S
    new = take(store, clock)
    with pytest.raises(RunError, match="lost its right to write"):
        old.renew()
    old.give_back()
    new.check()
    with pytest.raises(RunError, match="writes there"):
        take(store, clock)


def test_something_else_under_the_leases_name_is_no_lease(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"what?")
    assert take(store).holder.generation == 1


def test_the_lease_is_given_back_whatever_happens_inside(store: ObjectStore) -> None:
    with pytest.raises(KeyboardInterrupt), held(store):
        raise KeyboardInterrupt
    with held(store) as again:
        assert again.holder.generation == 2


def test_a_renewal_whose_answer_was_lost_is_not_taken_for_somebody_elses(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, until=lease.holder.until + 1))
    lease.renew()
    lease.check()


def test_a_renewal_finds_who_took_over(store: ObjectStore) -> None:
    lease = take(store)
    put(store, replace(lease.holder, token="another's", generation=2))
    with pytest.raises(RunError, match="lost its right to write"):
        lease.renew()
    with pytest.raises(RunError, match="lost its right to write"):
        lease.check()
    assert json.loads(store.get_bytes(KEY))["token"] == "another's"


@where_conditions_hold
def test_a_store_that_holds_conditions_is_taken_without_a_word(store: ObjectStore, slept: list[float]) -> None:
    watcher = Recorder()
    with held(store, watcher) as lease:
        assert lease.is_guarded
    assert (watcher.events, slept) == ([], [])


@where_none_hold
def test_a_store_that_holds_none_is_warned_of_in_one_line(store: ObjectStore) -> None:
    watcher = Recorder()
    with held(store, watcher) as lease:
        assert not lease.is_guarded
    [said] = watcher.events
    assert isinstance(said, Message)
    assert said.level == "warning"
    assert f"{store.uri}: this store does not hold puts to conditions" in said.text
    assert "\n" not in said.text


@where_none_hold
def test_where_no_condition_holds_whoever_put_last_has_the_lease(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(_: float) -> None:
        put(store, Holder(1, "another's", "far", 1, "another machine", time.time() + TERM_S))

    monkeypatch.setattr("raytl.store.lease.time.sleep", another)
    with pytest.raises(RunError, match="began to write there in this moment"):
        take(store)


@where_none_hold
def test_where_no_condition_holds_whoever_is_slow_waits_for_a_renewal_of_the_other(
    store: ObjectStore, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "SETTLE_S", 1e9)
    take(store).give_back()
    monkeypatch.setattr(lease_module, "SETTLE_S", 0.0)
    take(store)
    assert slept == [1e9, TERM_S / 4]
