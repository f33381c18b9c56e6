"""Writes under another process's lease stop when that process ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytl.errors import Conflict, Unavailable
from raytl.store.lease import TERM_S, Watch, WriteToken, take
from raytl.store.memory import MemoryStore


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(str(tmp_path))


def test_writes_are_allowed_while_the_lease_is_renewed(store: MemoryStore) -> None:
    lease, clock = take(store), Clock()
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), store, clock)
    for _ in range(4):
        watch.check()
        clock.now += TERM_S / 2
        lease.renew()


def test_writes_are_suspended_without_a_renewal_for_a_term_and_resume_with_the_holder(store: MemoryStore) -> None:
    lease, clock = take(store), Clock()
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), store, clock)
    watch.check()
    clock.now += TERM_S
    with pytest.raises(Unavailable, match="no driver heartbeat for 60 s; writes are suspended"):
        watch.check()
    lease.renew()
    watch.check()


@pytest.mark.parametrize("successor", [True, False], ids=["taken over", "released"])
def test_a_lost_or_released_lease_allows_no_writes(store: MemoryStore, successor: bool) -> None:
    lease = take(store)
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), store)
    lease.release()
    if successor:
        take(store)
    with pytest.raises(Conflict, match="took over"):
        watch.check()


def test_the_lease_of_a_sweep_holds_for_the_trials_below_it(store: MemoryStore) -> None:
    lease = take(store)
    below = MemoryStore(f"{store.name}/trials/one")
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), below)
    watch.check()
    lease.release()
    with pytest.raises(Conflict, match="took over"):
        watch.check()


def test_without_a_lease_writes_are_allowed_until_a_process_takes_one(store: MemoryStore) -> None:
    watch = Watch(None, store)
    watch.check()
    take(store)
    with pytest.raises(Conflict, match="took over"):
        watch.check()
