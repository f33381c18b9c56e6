"""Test leases under random clock jumps, pauses, kills and partitions: the real code of `raytl.store.lease` and
`raytl.store.fence` over seeded schedules, and the rule of raytl 0.1.0, whose faults the simulation must detect."""

from __future__ import annotations

import json
import random
import secrets
from collections import Counter
from contextlib import suppress
from typing import Any, Protocol

import pytest

from raytl.errors import Conflict, NotFound, RunError, StoreError
from raytl.store.contract import ABSENT
from raytl.store.fence import FENCE, generation_of, put_fenced, raise_fence
from raytl.store.lease import KEY, TERM_S, Lease, Node, renew_until, take
from tests.store.simulation import Machine, SimProcess, SimStore, World

POINTERS = ("best.json", "last.json")
SPAN_S = 4 * TERM_S
"""Duration of the faults; then all writers are killed, and a last one must get the lease."""
BOUND_S = 4 * TERM_S
"""Time limit for that, while late requests of the killed writers still arrive."""
LENGTHY = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(1800)]
YEAR_S = 365 * 86400.0


class Rule(Protocol):
    """A rule of mutual exclusion."""

    def take(self, process: SimProcess, store: Any) -> Any: ...
    def take_over(self, process: SimProcess, store: Any, lease: Any) -> None: ...
    def write(self, process: SimProcess, store: Any, lease: Any, key: str) -> None: ...


class NewRule:
    """The product's code."""

    def take(self, process: SimProcess, store: Any) -> Lease:
        node = Node(
            clock=process.machine.own,
            pause=process.sleep,
            date=lambda: f"by the clock of {process.machine.name}",
            process=lambda: process.identity,
            is_alive=process.is_alive,
        )
        return take(store, node=node)

    def take_over(self, process: SimProcess, store: Any, lease: Lease) -> None:
        """Mark the existing objects, then raise the fence, as `Mirror.take_over` does."""
        for key in POINTERS:
            with suppress(NotFound):
                store.stat(key)
                self._put(process, store, lease, key, is_mark=True)
        raise_fence(store, lease.holder.generation, process.sleep)

    def write(self, process: SimProcess, store: Any, lease: Lease, key: str) -> None:
        self._put(process, store, lease, key)

    def _put(self, process: SimProcess, store: Any, lease: Lease, key: str, is_mark: bool = False) -> None:
        generation = lease.holder.generation
        payload = content(generation, lease.holder.token, is_mark)
        put_fenced(store, key, payload, generation, pause=process.sleep)


class OldLease:
    """The lease of raytl 0.1.0: valid until a time that other processes compare with their clocks."""

    def __init__(self, process: SimProcess, store: Any, generation: int, etag: str) -> None:
        self._clock, self._store, self._etag = process.machine.wall, store, etag
        self._process, self.token, self.generation = process, secrets.token_hex(8), generation
        self.until = self._clock() + TERM_S
        self.renew()

    def check(self) -> None:
        if self._clock() >= self.until:
            raise RunError("lost")

    def renew(self, ended: bool = False) -> None:
        until = 0.0 if ended else self._clock() + TERM_S
        boot, pid = self._process.identity.boot, self._process.identity.pid
        payload = {"generation": self.generation, "token": self.token, "pid": pid, "boot": boot, "until": until}
        try:
            self._etag = self._store.put_bytes(KEY, json.dumps(payload).encode(), self._etag).etag
            self.until = until
        except (Conflict, NotFound):
            self.until = 0.0
            raise RunError("lost") from None

    def release(self) -> None:
        with suppress(RunError, StoreError):
            self.renew(ended=True)


class OldRule:
    """The rule of raytl 0.1.0, as the planted fault."""

    def take(self, process: SimProcess, store: Any) -> OldLease:
        try:
            etag = store.stat(KEY).etag
            stored = json.loads(store.get_bytes(KEY))
        except NotFound:
            return OldLease(process, store, 1, ABSENT)
        is_dead = stored["boot"] == process.machine.boot and not process.world.processes[stored["pid"]].alive
        if stored["until"] > process.machine.wall() and not is_dead:
            raise RunError("occupied")
        return OldLease(process, store, stored["generation"] + 1, etag)

    def take_over(self, process: SimProcess, store: Any, lease: OldLease) -> None:
        self.write(process, store, lease, POINTERS[0])

    def write(self, process: SimProcess, store: Any, lease: OldLease, key: str) -> None:
        store.put_bytes(key, content(lease.generation, lease.token))


def content(generation: int, token: str, is_mark: bool = False) -> bytes:
    """Return the unique content of a put; a mark only assigns the existing object to a new generation."""
    payload = {"generation": generation, "token": token, "is_mark": is_mark, "write": secrets.token_hex(4)}
    return json.dumps(payload).encode()


class Schedule:
    """One seeded schedule under a rule; `violations` counts forbidden events by kind."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule, self.world, self.violations = rule, World(seed, self._put), Counter[str]()
        self.draw = self.world.random
        self.machines = [Machine(self.world, f"m{number}") for number in range(self.draw.choice((2, 2, 3)))]
        self.is_frozen = self.draw.random() < 0.3
        """True if whole machines freeze together with their monotonic clocks: then a holder cannot detect that it lost its lease."""
        self.holder: dict[str, Any] = {}
        self.leases: dict[str, Any] = {}
        """Leases that their holders have not tried to release yet."""
        self.owners: dict[int, str] = {}
        self.highest, self.writes, self.last_took = 0, 0, False

    def run(self) -> Counter[str]:
        """Run it to its end."""
        state = random.getstate()
        random.seed(self.draw.random())  # of `retried`
        try:
            self._run()
        finally:
            self.world.close()
            random.setstate(state)
        return self.violations

    def _run(self) -> None:
        for machine in self.machines:
            self._begin(machine)
        if self.draw.random() < 0.3:
            self._begin(self.machines[0])
        for _ in range(self.draw.randrange(8)):
            self.world.at(self.draw.uniform(0, SPAN_S), self._inject_fault)
        self.world.run(SPAN_S)
        for process in list(self.world.processes.values()):
            process.alive = False
        self.world.is_calm = True
        last = SimProcess(self.world, Machine(self.world, "last"))
        self.world.start(last, lambda: self._last(last))
        self.world.run(SPAN_S + BOUND_S)
        self._expect("a dead holder blocks every successor", self.last_took)

    def _begin(self, machine: Machine) -> None:
        if not self.world.is_calm:
            process = SimProcess(self.world, machine)
            self.world.start(process, lambda: self._writer(process))

    def _inject_fault(self) -> None:
        """Inject a fault into one machine and its processes."""
        draw, machine = self.draw, self.draw.choice(self.machines)
        processes = [p for p in self.world.processes.values() if p.machine is machine and p.alive]
        kinds = ["clock", "clock", "clock", "pause", "cut off", "kill", "reboot"] + ["freeze"] * self.is_frozen
        kind, seconds = draw.choice(kinds), draw.choice((1.0, 20.0, 70.0, 130.0))
        if kind == "clock":
            machine.wall_offset += draw.choice((-1, 1)) * draw.choice((3.0, 70.0, 3600.0, YEAR_S))
        elif kind == "freeze":
            machine.frozen_s += seconds
        elif kind == "reboot":
            machine.boot += "'"
        for process in processes:
            if kind in ("pause", "freeze"):
                process.pause(seconds)
            elif kind == "cut off":
                process.cut_off(seconds)
            elif kind in ("kill", "reboot"):
                process.alive = False
                self.world.at(self.world.now + seconds, lambda: self._begin(machine))

    def _writer(self, process: SimProcess) -> None:
        """Repeat what a user's command does."""
        store = SimStore(process)
        while True:
            with suppress(RunError, StoreError):
                self._held(process, store, self.rule.take(process, store), self.draw.randrange(1, 9))
            process.sleep(self.draw.uniform(1, 20))

    def _last(self, process: SimProcess) -> None:
        store = SimStore(process)
        while not self.last_took:
            with suppress(RunError, StoreError):
                self.rule.take(process, store)
                self.last_took = True
            process.sleep(5)

    def _held(self, process: SimProcess, store: SimStore, lease: Any, writes: int) -> None:
        """Renew the lease beside the writes, and stop before the release, as `held` does."""
        is_over = [False]

        def wait(seconds: float) -> bool:
            if not is_over[0]:
                process.sleep(seconds)
            return is_over[0]

        self.leases[self._token(lease)] = lease
        renewing = self.world.start(process, lambda: renew_until(lease, wait))
        try:
            lease.check()
            self.rule.take_over(process, store, lease)
            for _ in range(writes):
                process.sleep(self.draw.uniform(1, 25))
                lease.check()
                self._expect(
                    "a process without its lease writes", self.is_frozen or self.holder["token"] == self._token(lease)
                )
                self.rule.write(process, store, lease, self.draw.choice(POINTERS))
        finally:
            is_over[0] = True
            while not renewing.ended:
                process.sleep(2)
            lease.release()
            del self.leases[self._token(lease)]

    def _token(self, lease: Any) -> str:
        return str(getattr(lease, "holder", lease).token)

    def _put(self, key: str, stored: bytes) -> None:
        """Check each put that the store executed, in order."""
        if key in POINTERS:
            self._pointed(stored)
        elif key == KEY:
            self._leased(json.loads(stored))

    def _leased(self, now: dict[str, Any]) -> None:
        before, self.holder = self.holder, now
        owner = self.owners.setdefault(now["generation"], now["token"])
        self._expect("two leases have one generation", owner == now["token"])
        if before and before["token"] != now["token"] and not (before.get("given_back") or before.get("until") == 0):
            process = self.world.processes[before["pid"]]
            lease = self.leases.get(before["token"])
            if lease is not None and process.alive:
                is_well = self.world.now > process.disturbed_until + TERM_S / 2
                self._expect("a live holder lost its lease", not is_well)
                self._expect("two processes trust their leases at once", self.is_frozen or not _trusts(lease))

    def _pointed(self, stored: bytes) -> None:
        self.writes += 1
        generation = generation_of(stored)
        owner = self.owners.setdefault(generation, json.loads(stored)["token"])
        self._expect("two processes write in one generation", owner == json.loads(stored)["token"])
        is_mark = json.loads(stored)["is_mark"]
        if not is_mark and generation >= generation_of(self.world.objects.get(FENCE, (b"", ""))[0]):
            self._expect("readers accept a write of an earlier generation", generation >= self.highest)
            self.highest = max(self.highest, generation)

    def _expect(self, otherwise: str, holds: bool) -> None:
        if not holds:
            self.violations[otherwise] += 1


def _trusts(lease: Any) -> bool:
    try:
        lease.check()
    except RunError:
        return False
    return True


def simulated(rule: Rule, seeds: range) -> tuple[Counter[str], list[int], int]:
    """Return the violations by kind, the seeds with violations, and the number of writes."""
    violations, bad, writes = Counter[str](), [], 0
    for seed in seeds:
        schedule = Schedule(rule, seed)
        if violated := schedule.run():
            bad.append(seed)
        violations, writes = violations + violated, writes + schedule.writes
    return violations, bad, writes


@pytest.mark.parametrize(
    "count", [pytest.param(100, id="100 schedules"), pytest.param(10_000, id="10,000 schedules", marks=LENGTHY)]
)
def test_under_clock_jumps_pauses_kills_and_partitions_there_is_one_writer_and_soon_a_successor(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    violations, bad, writes = simulated(NewRule(), range(count))
    with capsys.disabled():
        print(
            f"\nlease simulation: {count} schedules, {writes} writes, {len(bad)} schedules with violations {dict(violations)}"
        )
    assert (dict(violations), bad) == ({}, [])
    assert writes > 5 * count


def test_the_simulation_finds_the_faults_of_the_rule_of_0_1_0(capsys: pytest.CaptureFixture[str]) -> None:
    violations, bad, _ = simulated(OldRule(), range(100))
    with capsys.disabled():
        print(f"\nlease simulation of 0.1.0: 100 schedules, {len(bad)} with violations {dict(violations)}")
    assert {
        "a live holder lost its lease",
        "two processes trust their leases at once",
        "a process without its lease writes",
        "readers accept a write of an earlier generation",
        "a dead holder blocks every successor",
    } <= violations.keys()


def test_a_seed_gives_the_same_schedule_again() -> None:
    one, other = (Schedule(OldRule(), 8) for _ in range(2))
    assert (one.run(), one.writes, one.world.now) == (other.run(), other.writes, other.world.now)
