"""One writer at a time below a URI: a lease with a generation number, taken and renewed by conditional puts.

Source of the idea: Gray and Cheriton, "Leases", SOSP 1989; the generation is a fencing token. Where a store ignores or
refuses conditions (OpenStack Swift, some that only resemble S3), whoever put waits until all who may have looked before
that have put too, and has the lease if its own is what is there then: Fischer's algorithm, in Lamport, "A fast mutual
exclusion algorithm", 1987. It holds for those that are quick enough, so the user is warned.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raytl.errors import Conflict, NotFound, RunError, StoreError, Unavailable
from raytl.events import Message, OnEvent, ignore
from raytl.store.contract import ABSENT, ObjectStore
from raytl.store.open import open_store
from raytl.store.retry import retried

KEY = "lease.json"
TERM_S = 60.0
"""How long a lease is good for after it was taken or renewed; it is renewed four times as often."""
_RENEWALS = 4
SETTLE_S = 2.0
"""Where conditions do not hold: the longest that one may take between looking at the lease and having put its own."""

_UNGUARDED = (
    "{uri}: this store does not hold puts to conditions (If-Match, If-None-Match), so another raytl that starts there in "
    "the same moment may not be shut out at once; start one at a time there"
)


@dataclass(frozen=True)
class Holder:
    """Who has the lease: `until` is in seconds since the epoch, 0 once it was given back; `boot` is of the machine."""

    generation: int
    token: str
    host: str
    pid: int
    boot: str
    until: float


class Lease:
    """The right to write below `store`; `check` says whether it still holds."""

    def __init__(self, store: ObjectStore, holder: Holder, etag: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._etag, self._clock = store, etag, clock
        self.holder, self.is_guarded = holder, True

    def check(self) -> None:
        """Nothing, or an error where somebody else may be writing.

        Raises:
            RunError: the lease was lost.
        """
        if self._clock() >= self.holder.until:
            raise RunError(
                f"{self._store.uri}: this process lost its right to write there (it was out of touch with the store, or "
                "another raytl took over); nothing more was written. Run the same command again to go on."
            )

    def renew(self, until: float | None = None) -> None:
        """Make it good for a whole term from now, or `until`.

        Raises:
            RunError: another one has taken it.
        """
        if not self.is_guarded:
            self.check()  # nothing else would keep this from being put over what a successor has there
        term = self._clock() + TERM_S if until is None else until
        renewed = Holder(**{**asdict(self.holder), "until": term})
        etag = _put(self._store, renewed, self._etag)
        if etag is None:
            self.holder = Holder(**{**asdict(self.holder), "until": 0.0})
            self.check()
        else:
            self._etag, self.holder = etag, renewed

    def give_back(self) -> None:
        """End it now, so that the next one need not wait."""
        with suppress(RunError, StoreError):
            self.renew(until=0.0)


@dataclass(frozen=True)
class Right:
    """The right to write below `uri` in the name of whoever took its lease with `token`; to be handed to other processes."""

    uri: str
    token: str


class Watch:
    """Another process's lease, looked at from here: whoever writes in its name asks before each write."""

    def __init__(self, right: Right | None, store: ObjectStore, clock: Callable[[], float] = time.monotonic) -> None:
        """Of the lease that `right` names; without one, of that which `store` has now, be it none."""
        self._store, self._clock = (open_store(right.uri) if right else store), clock
        self.token = right.token if right else self._seen()[0]
        self._until, self._since = -1.0, 0.0

    def check(self) -> None:
        """Nothing, or an error where nothing may be written.

        Raises:
            Conflict: another process took the lease, or its holder has ended.
            Unavailable: its holder did not renew it for a whole term, by the clock of this machine; it may come back.
        """
        token, until = self._seen()
        if token != self.token or (token is not None and until == 0.0):
            raise Conflict(
                f"{self._store.uri}: another raytl took over, or this one's has ended; nothing more is written"
            )
        if until != self._until:
            self._until, self._since = until, self._clock()
        elif token is not None and self._clock() - self._since >= TERM_S:
            raise Unavailable(f"{self._store.uri}: its driver was not heard of for {TERM_S:g} s; nothing is written")

    def _seen(self) -> tuple[str | None, float]:
        found, _ = retried(lambda: _found(self._store))
        return (found.token, found.until) if found else (None, 0.0)


def take(store: ObjectStore, clock: Callable[[], float] = time.time, on_event: OnEvent = ignore) -> Lease:
    """The lease of what is below `store`, with the next generation; a warning where the store holds no conditions.

    Raises:
        RunError: another one has it; with who, and until when.
        StoreError: the store cannot be read or written.
    """
    began = time.monotonic()
    found, etag = retried(lambda: _found(store))
    if found is not None and _lives(found, clock()):
        ends = time.strftime("%H:%M:%S", time.localtime(found.until))
        raise RunError(
            f"{store.uri}: another raytl (pid {found.pid} on {found.host}) writes there.\n"
            "  Wait for it, stop it, or give this experiment another name. If that machine is gone, its right ends at "
            f"{ends}: run again then."
        )
    generation = found.generation + 1 if found else 1
    holder = Holder(
        generation, secrets.token_hex(8), socket.gethostname(), os.getpid(), _boot(), until=clock() + TERM_S
    )
    put = _put(store, holder, etag)
    if put is None:
        raise _forestalled(store)
    lease = Lease(store, holder, put, clock)
    lease.is_guarded = retried(lambda: store.guards(KEY, _encoded(holder)))
    if not lease.is_guarded:
        on_event(Message(_UNGUARDED.format(uri=store.uri), "warning"))
        _settle(store, holder, time.monotonic() - began)
    return lease


def _settle(store: ObjectStore, holder: Holder, took_s: float) -> None:
    """Wait until whoever looked before this holder was there has put, and be refused where that came last.

    One that took longer than it may could have put over the lease of one that waited no more: that one sees it when it
    next renews, for which is waited too.
    """
    time.sleep(SETTLE_S if took_s < SETTLE_S else SETTLE_S + TERM_S / _RENEWALS)
    found, _ = retried(lambda: _found(store))
    if found is None or found.token != holder.token:
        raise _forestalled(store)


def _forestalled(store: ObjectStore) -> RunError:
    return RunError(f"{store.uri}: another raytl began to write there in this moment; wait for it, or stop it")


@contextmanager
def held(store: ObjectStore, on_event: OnEvent = ignore) -> Iterator[Lease]:
    """Inside, this process alone writes below `store`: the lease is renewed in the background, and given back at the end.

    Raises:
        RunError: another one has it.
    """
    lease, done = take(store, on_event=on_event), threading.Event()

    def beat() -> None:
        while not done.wait(TERM_S / _RENEWALS):
            with suppress(StoreError):  # the next beat tries again, and `check` knows when it is too late
                try:
                    lease.renew()
                except RunError:
                    return

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        lease.give_back()


def _put(store: ObjectStore, holder: Holder, expected: str) -> str | None:
    """Writes the holder in place of `expected`; the new etag, None where somebody else was there first. An earlier attempt
    whose answer was lost was this one."""
    try:
        return store.put_bytes(KEY, _encoded(holder), expected).etag
    except (Conflict, NotFound):
        found, etag = _found(store)
        if found is None or found.token != holder.token:
            return None
    try:
        return store.put_bytes(KEY, _encoded(holder), etag).etag
    except (Conflict, NotFound):
        return None


def _found(store: ObjectStore) -> tuple[Holder | None, str]:
    try:
        etag = store.stat(KEY).etag
        return _decoded(store.get_bytes(KEY)), etag
    except NotFound:
        return None, ABSENT


def _lives(holder: Holder, now: float) -> bool:
    """A holder on this machine lives as long as its process does; of others, the term is all that is known."""
    if holder.until <= now:
        return False
    return holder.boot != _boot() or Path(f"/proc/{holder.pid}").exists()


def _boot() -> str:
    """A name of this machine since it was started, and of the container, as pids are its own; the host's name where the
    system has none."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _encoded(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=2).encode()


def _decoded(content: bytes) -> Holder | None:
    """The holder; None where what is there is no lease."""
    try:
        values: dict[str, Any] = json.loads(content)
        return Holder(**values)
    except (ValueError, TypeError):
        return None
