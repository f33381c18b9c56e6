"""Who writes with another process's lease stops when that process is gone."""

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


def test_a_lease_that_is_renewed_may_be_written_with(store: MemoryStore) -> None:
    lease, clock = take(store), Clock()
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), store, clock)
    for _ in range(4):
        watch.check()
        clock.now += TERM_S / 2
        lease.renew()


def test_one_that_is_not_renewed_for_a_term_waits_and_goes_on_when_its_holder_is_back(store: MemoryStore) -> None:
    lease, clock = take(store), Clock()
    watch = Watch(WriteToken(store.uri, lease.holder.token, 1), store, clock)
    watch.check()
    clock.now += TERM_S
    with pytest.raises(Unavailable, match="no driver heartbeat for 60 s; writes are suspended"):
        watch.check()
    lease.renew()
    watch.check()


@pytest.mark.parametrize("successor", [True, False], ids=["taken over", "given back"])
def test_one_that_is_lost_or_given_back_is_over(store: MemoryStore, successor: bool) -> None:
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


def test_where_nobody_ever_took_one_anybody_writes_until_somebody_does(store: MemoryStore) -> None:
    watch = Watch(None, store)
    watch.check()
    take(store)
    with pytest.raises(Conflict, match="took over"):
        watch.check()
